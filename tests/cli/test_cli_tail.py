"""Following a bin: what is said of the connection, and of what was caught."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from typing_extensions import override

from stafett.cli import bins, client
from stafett.model import Secret

OPEN = (": following", "")
CAUGHT = ("id: 7", "event: capture", 'data: {"n": 7}', "")


class Stopping(client.Client):
    """A server that ends so many streams at once, as one does that stops, and then is there."""

    def __init__(self, ends: int) -> None:
        super().__init__(client.Server(url="http://here", token=Secret("t"), found="made"))
        self.left = ends

    @override
    def find_again(self) -> None:
        return

    @override
    def lines(self, path: str, *, last_event_id: str) -> Iterator[str]:
        self.left -= 1
        yield from OPEN
        if self.left < 0:
            yield from CAUGHT

    @override
    def get(self, path: str, **query: str | int | bool | None) -> client.Answer:
        if self.left >= 0:
            raise client.Failure("not ready")
        return client.Answer(body=b"{}")


def test_a_server_that_stops_is_said_to_be_lost_once_and_found_once(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    found: Any = {"id": "bin_1", "name": "b", "url": "http://here/in/1"}

    caught = next(bins.follow(Stopping(4), found, seen="0"))

    said = [line.split(" b ")[0].split(" (")[0] for line in capsys.readouterr().err.splitlines()]
    assert caught == '{"n": 7}'
    assert said == ["Following", "Lost the connection", "Following again"]
    assert waits == sorted(set(waits))


@pytest.mark.parametrize(
    ("truncated", "said"), [(False, "200, 1048576 bytes from"), (True, "more than the 1048576")]
)
def test_a_body_that_was_cut_is_said_to_be(truncated: bool, said: str, capsys: Any):
    capture = {
        "number": 1,
        "receivedAt": "2026-11-24T12:00:00Z",
        "method": "POST",
        "target": "/in/1",
        "statusCode": 200,
        "bodySize": 1_048_576,
        "truncated": truncated,
        "peer": "127.0.0.1",
        "pinned": False,
        "attemptId": None,
        "headers": [],
        "body": "x",
    }

    bins.show_capture(capture)

    assert said in capsys.readouterr().out
