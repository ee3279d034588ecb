"""Applications: the customers of the sender, each with endpoints and messages of its own.

A change is in the directory's memory no later than it is answered, so the next message sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stafett import errors, ids, model
from stafett.engine.directory import Directory
from stafett.ids import Ids
from stafett.model import Application, ApplicationChanges, Page, PageQuery
from stafett.services import fields
from stafett.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApplication:
    """What makes an application. `rate_limit` counts messages a second."""

    name: str
    uid: str | None = None
    rate_limit: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


def _check(changes: ApplicationChanges) -> None:
    found = fields.Findings()
    if "name" in changes:
        found.name(changes["name"], "name")
    found.uid(changes.get("uid"), prefix=ids.APP)
    found.rate_limit(changes.get("rate_limit"))
    found.metadata(changes.get("metadata", {}))
    found.close()


def _all_of(new: NewApplication) -> ApplicationChanges:
    return ApplicationChanges(
        name=new.name, uid=new.uid, rate_limit=new.rate_limit, metadata=new.metadata
    )


def _check_upsert_uid(ref: str, uid: str | None) -> None:
    """Only a uid that body and address agree on makes a new application."""
    found = fields.Findings()
    if uid is None:
        found.add("must be set to make a new one", "uid", kind="application_uid_missing")
    elif uid != ref:
        found.add("must be the same as in the address", "uid", kind="application_uid_mismatch")
    found.close()


class Applications:
    """The verbs. `ref` is an id or a uid throughout."""

    def __init__(self, *, store: Store, directory: Directory, ids: Ids, clock: model.Clock) -> None:
        self._store = store
        self._directory = directory
        self._ids = ids
        self._clock = clock

    async def create(self, new: NewApplication) -> Application:
        """Errors: Invalid; Conflict when the uid is taken."""
        _check(_all_of(new))
        now = self._clock()
        application = Application(
            id=self._ids.app(now),
            uid=new.uid,
            name=new.name,
            rate_limit=new.rate_limit,
            metadata=new.metadata,
            created_at=now,
            updated_at=now,
        )
        await self._store.add_application(application)
        return application

    async def get_or_create(self, new: NewApplication) -> tuple[Application, bool]:
        """The one with `new.uid` as it is, or a new one; and whether it was created.

        Without a uid there is nothing to find, so it creates.
        """
        if new.uid is None:
            return await self.create(new), True
        found = await self._store.get_application(new.uid)
        if found is not None:
            return found, False
        try:
            return await self.create(new), True
        except errors.Conflict:  # somebody was faster: the caller wanted theirs just as well
            return await self.get(new.uid), False

    async def get(self, ref: str) -> Application:
        """Errors: NotFound."""
        found = await self._store.get_application(ref)
        if found is None:
            message = f"there is no application with the id or uid {ref!r}"
            raise errors.NotFound(message)
        return found

    async def list(self, page: PageQuery) -> Page[Application]:
        """In order of id: oldest first when `page.ascending`."""
        return await self._store.list_applications(page)

    async def update(self, ref: str, changes: ApplicationChanges) -> Application:
        """Change what `changes` names. Errors: NotFound, Invalid, Conflict (uid taken)."""
        _check(changes)
        application = await self.get(ref)
        if not changes:
            return application
        await self._store.update_application(application.id, changes, now=self._clock())
        self._directory.forget_application(application.id)
        return await self.get(application.id)

    async def upsert(self, ref: str, new: NewApplication) -> tuple[Application, bool]:
        """Replace every field of the one known as `ref`, or create it under that uid.

        Addressed by its uid, an application keeps it where `new` names none. Errors: Invalid
        (a new one needs its uid in `new`, the same as `ref`), Conflict (uid taken).
        """
        _check(_all_of(new))
        application = await self._store.get_application(ref)
        if application is None:
            _check_upsert_uid(ref, new.uid)
            try:
                return await self.create(new), True
            except errors.Conflict:  # somebody was faster: it is there to be replaced
                application = await self.get(ref)
        changes = _all_of(new)
        if new.uid is None and ref == application.uid:
            del changes["uid"]
        return await self.update(application.id, changes), False

    async def delete(self, ref: str) -> None:
        """With everything it owns. Errors: NotFound."""
        application = await self.get(ref)
        await self._store.delete_application(application.id)
        self._directory.forget_application(application.id)
