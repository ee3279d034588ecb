"""Tokens over the real store; what is refused must be refused whatever was in memory."""

from __future__ import annotations

import os
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from services.set_clock import SetClock
from stafett import errors
from stafett.drivers.sqlite.store import SqliteStore
from stafett.ids import AppId, Ids, TokenId
from stafett.model import PageQuery, Token
from stafett.services import tokens as module
from stafett.services.tokens import Tokens

BOOTSTRAP = "a-token-that-was-chosen-beforehand"


async def test_a_new_token_authenticates_from_store_and_from_memory(
    tokens: Tokens, store: SqliteStore, clock: SetClock
) -> None:
    token, text = await tokens.create("ci", app_id=AppId("app_1"))
    assert text.startswith("st_")
    assert await tokens.authenticate(text) == token
    assert await tokens.authenticate(text) == token
    restarted = Tokens(store=store, ids=Ids(), clock=clock, entropy=os.urandom)
    assert await restarted.authenticate(text) == token


async def test_the_text_itself_is_never_stored(tokens: Tokens, store: SqliteStore) -> None:
    _, text = await tokens.create("ci")
    (stored,) = (await store.list_tokens(PageQuery())).items
    assert all(text not in str(getattr(stored, field.name)) for field in fields(stored))


async def test_a_revoked_token_is_refused_at_once(tokens: Tokens) -> None:
    token, text = await tokens.create("ci")
    await tokens.authenticate(text)
    await tokens.revoke(token.id)
    with pytest.raises(errors.Unauthenticated):
        await tokens.authenticate(text)
    await tokens.revoke(token.id)


async def test_a_revocation_wins_over_a_look_up_under_way(
    tokens: Tokens, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, text = await tokens.create("ci")
    find = store.find_token

    async def find_and_be_overtaken(hash: str) -> Token | None:  # noqa: A002 - the contract's word
        found = await find(hash)
        monkeypatch.setattr(store, "find_token", find)
        await tokens.revoke(token.id)
        return found

    monkeypatch.setattr(store, "find_token", find_and_be_overtaken)
    for _ in range(2):
        with pytest.raises(errors.Unauthenticated):
            await tokens.authenticate(text)


async def test_a_restart_goes_on_noting_use_once_a_minute(
    tokens: Tokens, store: SqliteStore, clock: SetClock
) -> None:
    token, text = await tokens.create("ci")
    await tokens.authenticate(text)
    await tokens.flush_used()
    first = clock.now
    clock.move(timedelta(seconds=59))
    restarted = Tokens(store=store, ids=Ids(), clock=clock, entropy=os.urandom)
    await restarted.authenticate(text)
    await restarted.flush_used()
    found = await store.find_token(token.hash)
    assert found is not None
    assert found.last_used_at == first


async def test_expiry_is_asked_of_the_clock_every_time(tokens: Tokens, clock: SetClock) -> None:
    _, text = await tokens.create("ci", expires_at=clock.now + timedelta(hours=1))
    clock.move(timedelta(hours=1) - timedelta(microseconds=1))
    await tokens.authenticate(text)
    clock.move(timedelta(microseconds=1))
    with pytest.raises(errors.Unauthenticated):
        await tokens.authenticate(text)


@pytest.mark.parametrize("text", ["", "st_", "x" * 52, "blåbær", "\0"])
async def test_an_unknown_text_is_refused(tokens: Tokens, text: str) -> None:
    with pytest.raises(errors.Unauthenticated):
        await tokens.authenticate(text)


async def test_a_mistyped_token_is_refused_without_the_store(
    tokens: Tokens, tmp_path: Path
) -> None:
    _, text = await tokens.create("ci")
    closed = Tokens(
        store=SqliteStore(tmp_path / "closed.db"), ids=Ids(), clock=SetClock(), entropy=os.urandom
    )
    wrong = text[:-1] + ("a" if text[-1] != "a" else "b")
    with pytest.raises(errors.Unauthenticated):
        await closed.authenticate(wrong)


def test_a_token_text_is_a_function_of_its_entropy() -> None:
    assert module.new_text(bytes(32)) == module.new_text(bytes(32))
    assert module.new_text(bytes(32)) != module.new_text(bytes(31) + b"\1")
    assert len(module.new_text(b"\xff" * 32)) == len(module.new_text(bytes(32))) == 52


async def test_use_is_noted_once_a_minute(
    tokens: Tokens, store: SqliteStore, clock: SetClock
) -> None:
    token, text = await tokens.create("ci")

    async def stored() -> object:
        await tokens.flush_used()
        found = await store.find_token(token.hash)
        return found and found.last_used_at

    assert await stored() is None
    await tokens.authenticate(text)
    first = clock.now
    assert await stored() == first
    clock.move(timedelta(seconds=59))
    await tokens.authenticate(text)
    assert await stored() == first
    clock.move(timedelta(seconds=1))
    await tokens.authenticate(text)
    assert await stored() == clock.now


@pytest.mark.parametrize("name", ["", "bootstrap", "two\nlines"])
async def test_a_token_needs_a_name_of_its_own(tokens: Tokens, name: str) -> None:
    with pytest.raises(errors.Invalid):
        await tokens.create(name)


async def test_a_token_cannot_be_born_expired(tokens: Tokens, clock: SetClock) -> None:
    with pytest.raises(errors.Invalid) as raised:
        await tokens.create("ci", expires_at=clock.now)
    assert raised.value.problems[0].loc == ("body", "expires_at")


async def test_revoking_an_unknown_token_says_so(tokens: Tokens) -> None:
    with pytest.raises(errors.NotFound):
        await tokens.revoke(TokenId("tok_x"))


async def test_bootstrapping_twice_makes_one_owner_token(tokens: Tokens) -> None:
    first = await tokens.bootstrap(BOOTSTRAP)
    assert await tokens.bootstrap(BOOTSTRAP) == first
    assert (await tokens.authenticate(BOOTSTRAP)).app_id is None
    assert len((await tokens.list(PageQuery())).items) == 1


async def test_a_changed_bootstrap_token_revokes_the_former_one_alone(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE", 1)
    _, other = await tokens.create("ci")
    await tokens.bootstrap(BOOTSTRAP)
    await tokens.bootstrap(BOOTSTRAP + "2")
    with pytest.raises(errors.Unauthenticated):
        await tokens.authenticate(BOOTSTRAP)
    await tokens.authenticate(BOOTSTRAP + "2")
    await tokens.authenticate(other)


async def test_a_short_or_revoked_bootstrap_token_is_refused(tokens: Tokens) -> None:
    with pytest.raises(errors.InvalidSettings):
        await tokens.bootstrap("x" * 31)
    await tokens.revoke((await tokens.bootstrap(BOOTSTRAP)).id)
    with pytest.raises(errors.InvalidSettings):
        await tokens.bootstrap(BOOTSTRAP)


async def test_a_token_of_an_application_cannot_become_the_bootstrap_token(tokens: Tokens) -> None:
    _, text = await tokens.create("ci", app_id=AppId("app_1"))
    with pytest.raises(errors.InvalidSettings):
        await tokens.bootstrap(text)


async def test_the_memory_of_tokens_is_bounded(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_KNOWN", 2)
    texts = [(await tokens.create(str(number)))[1] for number in range(5)]
    for text in texts:
        await tokens.authenticate(text)
    assert len(tokens._known) <= 2
    for text in texts:
        await tokens.authenticate(text)
