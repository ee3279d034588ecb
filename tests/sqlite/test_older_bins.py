"""Bins and captures of the schema before replies took their time and captures were pinned."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from making import MINUTE, NOW
from stafett.drivers.sqlite.store import SqliteStore
from stafett.ids import BinId
from stafett.model import ScriptedReply

_BIN = """INSERT INTO bins (id, name, catch_token, read_token_hash, reply_status_code,
reply_headers, reply_body, reply_delay_us, capture_count, created_at)
VALUES ('bin_1', 'old', 'token', 'hash', 503, '[]', x'78', 5000, 2, 0)"""
_CAPTURE = """INSERT INTO captures (bin_id, number, id, method, target, http_version, headers, body,
body_truncated, peer, received_at, status_code, message_id, attempt_id)
VALUES ('bin_1', :number, :id, 'POST', x'2f', '1.1', '[]', x'', 0, '::1', 0, 503, :message, :try)"""


def as_before(path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "stafett.drivers:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.execute(sa.text(_BIN))
        rows = (
            {"number": 1, "id": "cap_1", "message": "msg_1", "try": "atmpt_1"},
            {"number": 2, "id": "cap_2", "message": None, "try": None},
        )
        for row in rows:
            connection.execute(sa.text(_CAPTURE), row)
    engine.dispose()


async def test_they_answer_as_they_did_and_are_found_by_their_message(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    as_before(path)
    store = SqliteStore(path)
    await store.open(now=NOW)
    found = await store.get_bin(BinId("bin_1"))
    ours = await store.arrivals(BinId("bin_1"), "msg_1", limit=9)
    others = await store.arrivals(BinId("bin_1"), None, limit=9)
    pinned = await store.pinned_arrivals(BinId("bin_1"))
    await store.close()

    assert found is not None
    assert found.reply == ScriptedReply(status_code=503, body=b"x", delay=MINUTE / 12_000)
    assert found.reply_since == 0
    assert [each.number for each in ours] == [1]
    assert [each.number for each in others] == [2]
    assert pinned == []
