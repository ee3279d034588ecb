"""The audit log: who did what, when and from where. Written and read, never changed."""

from __future__ import annotations

from stafett import model
from stafett.ids import Ids
from stafett.model import AuditEntry, Page, PageQuery
from stafett.store import Store


class Audit:
    """The verbs."""

    def __init__(self, *, store: Store, ids: Ids, clock: model.Clock) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock

    async def note(
        self, action: str, *, actor: str, target: str = "", detail: str = "", address: str = ""
    ) -> None:
        """On disk when this returns. `action` is a noun and a verb: `webhook.secret_shown`."""
        now = self._clock()
        entry = AuditEntry(
            id=self._ids.audit(now),
            actor=actor,
            action=action,
            target=target,
            detail=detail,
            address=address,
            created_at=now,
        )
        await self._store.add_audit(entry)

    async def list(self, page: PageQuery) -> Page[AuditEntry]:
        """Newest first unless `page.ascending`."""
        return await self._store.list_audit(page)
