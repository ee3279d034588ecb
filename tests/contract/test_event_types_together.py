"""Several event types saved as one: all of them, or none."""

from __future__ import annotations

import pytest

import making
from making import MINUTE, NOW
from stafett import errors
from stafett.model import EventTypeChanges
from stafett.store import Store


async def names(store: Store) -> list[str]:
    return [each.name for each in await store.all_event_types()]


async def test_new_ones_are_added_and_known_ones_changed(store: Store) -> None:
    await store.add_event_types([making.an_event_type("a"), making.an_event_type("b")])
    changes = EventTypeChanges(label="Other", schemas={"1": {"type": "object"}}, sample=None)
    new = making.an_event_type("c", sample={"n": 1}, feature_flags=("beta",))
    await store.save_event_types([new], {"a": changes}, now=NOW + MINUTE)
    assert await store.get_event_type("c") == new
    changed = await store.get_event_type("a")
    assert changed is not None
    assert (changed.label, changed.schemas) == ("Other", {"1": {"type": "object"}})
    assert changed.updated_at == NOW + MINUTE
    assert await store.get_event_type("b") == making.an_event_type("b")


async def test_nothing_to_save_is_fine(store: Store) -> None:
    await store.save_event_types([], {}, now=NOW)
    assert await names(store) == []


@pytest.mark.parametrize(
    ("new", "changed"),
    [(["c", "a"], ["a"]), (["c"], ["a", "gone"]), (["c", "c"], [])],
    ids=["taken", "gone", "twice"],
)
async def test_where_one_cannot_be_saved_none_is(
    store: Store, new: list[str], changed: list[str]
) -> None:
    await store.add_event_types([making.an_event_type("a")])
    changes = {name: EventTypeChanges(label="Other") for name in changed}
    with pytest.raises(errors.Conflict, match="meanwhile"):
        await store.save_event_types(
            [making.an_event_type(name) for name in new], changes, now=NOW + MINUTE
        )
    assert await names(store) == ["a"]
    assert await store.get_event_type("a") == making.an_event_type("a")
