"""Applications over the real store; the oracle is what another read shows."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from services.set_clock import SetClock
from stafett import errors
from stafett.engine.directory import Directory
from stafett.model import Application, ApplicationChanges, PageQuery
from stafett.services.applications import Applications, NewApplication


async def test_a_new_application_is_found_by_id_and_by_uid(applications: Applications) -> None:
    made = await applications.create(
        NewApplication(name="Acme", uid="acme", rate_limit=5, metadata={"plan": "pro"})
    )
    assert await applications.get(made.id) == made
    assert await applications.get("acme") == made


async def test_a_uid_is_taken_once(applications: Applications, acme: Application) -> None:
    with pytest.raises(errors.Conflict):
        await applications.create(NewApplication(name="Other", uid="acme"))
    assert (await applications.get("acme")).name == "Acme"


async def test_get_or_create_answers_the_existing_one_as_it_is(
    applications: Applications, acme: Application
) -> None:
    found, created = await applications.get_or_create(NewApplication(name="New", uid="acme"))
    assert (found, created) == (acme, False)
    made, created = await applications.get_or_create(NewApplication(name="New", uid="new"))
    assert created
    assert made.uid == "new"


async def test_get_or_create_at_the_same_time_makes_one(applications: Applications) -> None:
    new = NewApplication(name="New", uid="new")
    answers = await asyncio.gather(*(applications.get_or_create(new) for _ in range(5)))
    assert len({found.id for found, _ in answers}) == 1
    assert sum(created for _, created in answers) == 1


async def test_get_or_create_without_a_uid_creates(applications: Applications) -> None:
    first, _ = await applications.get_or_create(NewApplication(name="New"))
    second, created = await applications.get_or_create(NewApplication(name="New"))
    assert created
    assert first.id != second.id


async def test_an_update_changes_only_what_it_names(
    applications: Applications, acme: Application, clock: SetClock
) -> None:
    clock.move(timedelta(minutes=1))
    updated = await applications.update("acme", ApplicationChanges(name="Acme Ltd"))
    assert (updated.name, updated.uid) == ("Acme Ltd", "acme")
    assert updated.updated_at == clock.now
    assert updated.created_at == acme.created_at


async def test_an_empty_update_changes_nothing(
    applications: Applications, acme: Application, clock: SetClock
) -> None:
    clock.move(timedelta(minutes=1))
    assert await applications.update("acme", ApplicationChanges()) == acme


async def test_the_directory_sees_a_change_at_once(
    applications: Applications, directory: Directory, acme: Application
) -> None:
    assert (await directory.application("acme")).name == "Acme"
    await applications.update(acme.id, ApplicationChanges(name="Acme Ltd", uid="acme2"))
    assert (await directory.application("acme2")).name == "Acme Ltd"
    with pytest.raises(errors.NotFound):
        await directory.application("acme")
    await applications.delete("acme2")
    with pytest.raises(errors.NotFound):
        await directory.application(acme.id)


async def test_an_upsert_replaces_every_field_but_the_uid_it_was_addressed_by(
    applications: Applications, acme: Application
) -> None:
    await applications.update("acme", ApplicationChanges(rate_limit=9, metadata={"a": "b"}))
    replaced, created = await applications.upsert("acme", NewApplication(name="Renamed"))
    assert not created
    assert (replaced.id, replaced.uid, replaced.name) == (acme.id, "acme", "Renamed")
    assert (replaced.rate_limit, replaced.metadata) == (None, {})
    by_id, _ = await applications.upsert(acme.id, NewApplication(name="Renamed"))
    assert by_id.uid is None


async def test_an_upsert_of_an_unknown_uid_creates_it(applications: Applications) -> None:
    made, created = await applications.upsert("new", NewApplication(name="New", uid="new"))
    assert created
    assert await applications.get("new") == made


@pytest.mark.parametrize(
    ("uid", "kind"), [(None, "application_uid_missing"), ("other", "application_uid_mismatch")]
)
async def test_an_upsert_creates_only_under_the_uid_it_was_addressed_by(
    applications: Applications, uid: str | None, kind: str
) -> None:
    with pytest.raises(errors.Invalid) as raised:
        await applications.upsert("new", NewApplication(name="New", uid=uid))
    assert [problem.kind for problem in raised.value.problems] == [kind]


@pytest.mark.parametrize(
    ("new", "fields"),
    [
        (NewApplication(name=""), ["name"]),
        (NewApplication(name=" "), ["name"]),
        (NewApplication(name="x" * 513), ["name"]),
        (NewApplication(name="two\nlines"), ["name"]),
        (NewApplication(name="bell\x07"), ["name"]),
        (NewApplication(name="A", uid=""), ["uid"]),
        (NewApplication(name="A", uid="x" * 257), ["uid"]),
        (NewApplication(name="A", uid="a b"), ["uid"]),
        (NewApplication(name="A", uid="ø"), ["uid"]),
        (NewApplication(name="A", uid="app_1"), ["uid"]),
        (NewApplication(name="A", rate_limit=0), ["rate_limit"]),
        (NewApplication(name="A", rate_limit=65_536), ["rate_limit"]),
        (NewApplication(name="A", metadata={"k": "x" * 4_096}), ["metadata"]),
        (NewApplication(name="", uid="?", rate_limit=-1), ["name", "uid", "rate_limit"]),
    ],
)
async def test_what_breaks_a_rule_is_named_all_at_once_and_nothing_is_stored(
    applications: Applications, new: NewApplication, fields: list[str]
) -> None:
    with pytest.raises(errors.Invalid) as raised:
        await applications.create(new)
    assert [problem.loc for problem in raised.value.problems] == [
        ("body", field) for field in fields
    ]
    assert (await applications.list(PageQuery())).items == ()


@pytest.mark.parametrize(
    "new",
    [
        NewApplication(name="x" * 512, uid="x" * 256, rate_limit=65_535),
        NewApplication(name="Blåbær & sønner", uid="a-B_9.", rate_limit=1),
        NewApplication(name="A", metadata={"k": "x" * (4_096 - len('{"k":""}'))}),
    ],
)
async def test_the_limits_themselves_are_allowed(
    applications: Applications, new: NewApplication
) -> None:
    assert (await applications.create(new)).name == new.name


async def test_the_list_comes_in_order_of_creation(
    applications: Applications, clock: SetClock
) -> None:
    for name in "abc":
        await applications.create(NewApplication(name=name))
        clock.move(timedelta(seconds=1))
    page = await applications.list(PageQuery(limit=2, ascending=True))
    assert [each.name for each in page.items] == ["a", "b"]
    assert not page.done


async def test_a_deleted_application_is_gone_for_good(
    applications: Applications, acme: Application
) -> None:
    await applications.delete("acme")
    for verb in (applications.get, applications.delete):
        with pytest.raises(errors.NotFound):
            await verb(acme.id)
