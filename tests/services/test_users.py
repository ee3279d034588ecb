"""People over the real store: what a stranger learns, and who may do what."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import making
from services.set_clock import SetClock
from stafett import errors
from stafett.drivers.sqlite.store import SqliteStore
from stafett.model import Role, Session, User
from stafett.services import users as module
from stafett.services.users import Users, may

PASSWORD = "correct horse battery"
KARI = {"email": "Kari@Example.com ", "name": "Kari", "password": PASSWORD}


async def signed_in(users: Users, **given: Any) -> str:
    asked = {"email": "kari@example.com", "password": PASSWORD, "address": "192.0.2.1"} | given
    return (await users.sign_in(user_agent="a browser", **asked))[1]


async def session_of(users: Users, text: str) -> tuple[Session, User]:
    found = await users.session(text)
    assert found is not None
    return found


async def test_only_the_first_user_is_made_by_setting_up(users: Users) -> None:
    assert not await users.somebody()
    owner = await users.set_up(**KARI)
    assert (owner.email, owner.role) == ("kari@example.com", Role.OWNER)
    assert await users.somebody()
    with pytest.raises(errors.Conflict):
        await users.set_up(**KARI | {"email": "other@example.com"})


async def test_every_setup_link_is_good_until_the_first_user_is_made(users: Users) -> None:
    links = [await users.open_setup(), await users.open_setup()]
    assert len(set(links)) == 2
    assert [await users.is_setup_token(each) for each in (*links, "", "made up")] == [
        True,
        True,
        False,
        False,
    ]
    await users.set_up(**KARI)
    assert [await users.is_setup_token(each) for each in links] == [False, False]


async def test_a_password_is_kept_as_argon2id_and_shown_to_nobody(users: Users) -> None:
    owner = await users.set_up(**KARI)
    assert owner.password_hash.reveal().startswith("$argon2id$")
    assert "argon2" not in repr(owner)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "kari"),
        ("email", "a b@example.com"),
        ("email", "a\0@example.com"),
        ("email", "a@example\x1b[31m.com"),
        ("email", "a@example\x9b31m.com"),
        ("name", " "),
        ("password", "short"),
        ("password", "a" * 20),
        ("password", "kari-kari-kari"),
        ("password", "x" * 2_000),
    ],
)
async def test_what_cannot_be_a_user_is_refused_with_the_field(
    users: Users, field: str, value: str
) -> None:
    with pytest.raises(errors.Invalid) as caught:
        await users.set_up(**KARI | {field: value})
    assert [each.loc[-1] for each in caught.value.problems] == [field]


async def test_the_letters_of_a_short_address_may_be_in_the_password(users: Users) -> None:
    made = await users.create(
        email="ko@example.com", name="Ko", password="a knot of rockets", role=Role.VIEWER
    )
    assert made.email == "ko@example.com"


async def test_a_wrong_address_and_a_wrong_password_give_the_same_answer(users: Users) -> None:
    await users.set_up(**KARI)
    said: set[str] = set()
    for wrong in ({"email": "no@example.com"}, {"password": "not this one at all"}, {"email": ""}):
        with pytest.raises(errors.Unauthenticated) as caught:
            await signed_in(users, **wrong)
        said.add(caught.value.detail)
    assert len(said) == 1


async def test_tries_are_slowed_by_account_and_a_pause_helps(users: Users, clock: SetClock) -> None:
    await users.set_up(**KARI)
    for _ in range(5):
        with pytest.raises(errors.Unauthenticated):
            await signed_in(users, password="wrong wrong wrong")
    with pytest.raises(errors.TooMany) as caught:
        await signed_in(users)
    assert 0 < caught.value.retry_after <= 15
    clock.move(timedelta(seconds=caught.value.retry_after))
    assert await signed_in(users)


async def test_tries_are_slowed_by_where_they_come_from(users: Users) -> None:
    await users.set_up(**KARI)
    for number in range(20):
        with pytest.raises(errors.Unauthenticated):
            await signed_in(users, email=f"{number}@example.com")
    with pytest.raises(errors.TooMany):
        await signed_in(users)


async def test_whoever_tries_an_account_does_not_keep_its_owner_out(users: Users) -> None:
    await users.set_up(**KARI)
    for _ in range(5):
        with pytest.raises(errors.Unauthenticated):
            await signed_in(users, password="wrong wrong wrong", address="198.51.100.7")
    with pytest.raises(errors.TooMany):
        await signed_in(users, address="198.51.100.7")
    assert await signed_in(users, address="192.0.2.1")


async def test_many_together_are_slowed_but_not_who_is_signed_in_from_there(users: Users) -> None:
    await users.set_up(**KARI)
    await signed_in(users, address="2001:db8:0:1::1")
    for number in range(59):
        with pytest.raises(errors.Unauthenticated):
            await signed_in(users, password="wrong wrong", address=f"198.51.100.{number}")
    with pytest.raises(errors.TooMany):
        await signed_in(users, address="192.0.2.1")
    assert await signed_in(users, address="2001:db8:0:1::2")


@pytest.mark.parametrize(
    ("places", "are_one"),
    [
        (["2001:db8::1", "2001:db8::2:0:0:1"], True),
        (["2001:db8::1", "2001:db8:0:1::1"], False),
        (["192.0.2.1", "::ffff:192.0.2.1"], True),
        (["192.0.2.1", "192.0.2.2"], False),
        (["", "a socket"], False),
    ],
)
async def test_a_caller_cannot_come_from_everywhere_at_once(
    users: Users, places: list[str], *, are_one: bool
) -> None:
    await users.set_up(**KARI)
    for number in range(20):
        with pytest.raises(errors.Unauthenticated):
            await signed_in(users, email=f"{number}@example.com", address=places[0])
    with pytest.raises(errors.TooMany if are_one else errors.Unauthenticated):
        await signed_in(users, email="last@example.com", address=places[1])


async def test_a_session_ends_when_idle_and_in_any_case(users: Users, clock: SetClock) -> None:
    await users.set_up(**KARI)
    idle, busy = await signed_in(users), await signed_in(users)
    assert (await session_of(users, idle))[1].email == "kari@example.com"
    clock.move(module.IDLE)
    assert await users.session(idle) is None
    assert await users.session("made up") is None
    busy = await signed_in(users)
    for _ in range(int(module.LIFE / timedelta(hours=11))):
        clock.move(timedelta(hours=11))
        await session_of(users, busy)
    clock.move(timedelta(hours=11))
    assert await users.session(busy) is None


async def test_the_text_of_a_session_is_not_stored(users: Users, store: SqliteStore) -> None:
    owner = await users.set_up(**KARI)
    text = await signed_in(users)
    assert text not in repr(await store.list_sessions(owner.id))


async def test_signing_out_ends_one_session_and_a_new_password_all_others(users: Users) -> None:
    await users.set_up(**KARI)
    first, second, third = [await signed_in(users) for _ in range(3)]
    session, user = await session_of(users, first)
    await users.sign_out(session)
    assert await users.session(first) is None

    session, user = await session_of(users, second)
    with pytest.raises(errors.Invalid):
        await users.change_password(session, user, old="not it, not it", new=PASSWORD + "!")
    await users.change_password(session, user, old=PASSWORD, new="a new one for today")
    assert await users.session(third) is None
    assert await users.session(second) is not None
    assert await signed_in(users, password="a new one for today")


async def test_who_is_disabled_is_out_at_once(users: Users) -> None:
    await users.set_up(**KARI)
    await users.create(email="per@example.com", name="Per", password=PASSWORD, role=Role.ADMIN)
    text = await signed_in(users, email="per@example.com")
    await users.change("per@example.com", disabled=True)
    assert await users.session(text) is None
    with pytest.raises(errors.Unauthenticated):
        await signed_in(users, email="per@example.com")
    await users.change("per@example.com", disabled=False)
    assert await signed_in(users, email="per@example.com")


async def test_somebody_stays_owner(users: Users) -> None:
    owner = await users.set_up(**KARI)
    for attempt in (
        users.delete(owner.id),
        users.change(owner.id, role=Role.VIEWER),
        users.change(owner.id, disabled=True),
    ):
        with pytest.raises(errors.Conflict):
            await attempt
    await users.create(email="per@example.com", name="Per", password=PASSWORD, role=Role.OWNER)
    await users.delete(owner.id)
    with pytest.raises(errors.NotFound):
        await users.get(owner.id)


@pytest.mark.parametrize("has", Role)
def test_a_role_may_do_what_the_ones_below_may(has: Role) -> None:
    roles = list(Role)
    user = making.a_user(role=has)
    assert [each for each in roles if may(user, each)] == roles[roles.index(has) :]
