"""What intake and dispatch look up for every event, kept in memory.

Whoever changes something here says so (`forget_…`) after the commit; a load that began before that
is not kept. So in the one process that holds the store, the next event sees every change.
"""

from __future__ import annotations

from collections.abc import Mapping

from stafett import errors, matching
from stafett.ids import AppId, EndpointId
from stafett.model import Application, Endpoint, EventType
from stafett.store import Store

_MAX_KEPT = 20_000


class _Room:
    """One application's endpoints and which of them want what."""

    __slots__ = ("endpoints", "rate_limit", "wanting")

    def __init__(self, endpoints: Mapping[EndpointId, Endpoint], *, rate_limit: int | None) -> None:
        self.endpoints = endpoints
        self.rate_limit = rate_limit
        """Requests a second to all of them together."""
        self.wanting: dict[tuple[str, tuple[str, ...]], list[Endpoint]] = {}


class Directory:
    """Applications by id and uid, their endpoints, and the event types."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._applications: dict[str, Application] = {}
        self._rooms: dict[AppId, _Room] = {}
        self._event_types: Mapping[str, EventType] | None = None
        self._generation = 0

    async def application(self, ref: str) -> Application:
        """By id or uid. Errors: NotFound."""
        known = self._applications.get(ref)
        if known is not None:
            return known
        generation = self._generation
        found = await self._store.get_application(ref)
        if found is None:
            message = f"there is no application with the id or uid {ref!r}"
            raise errors.NotFound(message)
        if generation == self._generation:
            if len(self._applications) >= _MAX_KEPT:
                self._applications.clear()
            self._applications[ref] = found
        return found

    async def endpoints(self, app_id: AppId) -> tuple[Endpoint, ...]:
        """All of an application, disabled ones too, in order of id."""
        return tuple((await self._room(app_id)).endpoints.values())

    async def endpoint(self, app_id: AppId, endpoint_id: EndpointId) -> Endpoint | None:
        """One endpoint; None when it is gone."""
        return (await self._room(app_id)).endpoints.get(endpoint_id)

    async def target(
        self, app_id: AppId, endpoint_id: EndpointId
    ) -> tuple[Endpoint | None, int | None]:
        """As `endpoint`, and its application's rate limit."""
        room = await self._room(app_id)
        return room.endpoints.get(endpoint_id), room.rate_limit

    async def wanting(
        self, app_id: AppId, *, event_type: str, channels: tuple[str, ...]
    ) -> list[Endpoint]:
        """The endpoints that are owed a message of this kind (see `matching`)."""
        room = await self._room(app_id)
        wanting = room.wanting.get((event_type, channels))
        if wanting is None:
            wanting = matching.wanting(
                room.endpoints.values(), event_type=event_type, channels=channels
            )
            if len(room.wanting) >= _MAX_KEPT:
                room.wanting.clear()
            room.wanting[event_type, channels] = wanting
        return wanting

    async def event_types(self) -> Mapping[str, EventType]:
        """All event types by name, archived ones too."""
        if self._event_types is not None:
            return self._event_types
        generation = self._generation
        found = {each.name: each for each in await self._store.all_event_types()}
        if generation == self._generation:
            self._event_types = found
        return found

    def forget_application(self, app_id: AppId) -> None:
        """This application or one of its endpoints has changed."""
        self._generation += 1
        self._rooms.pop(app_id, None)
        self._applications = {
            ref: each for ref, each in self._applications.items() if each.id != app_id
        }

    def forget_endpoints(self, app_id: AppId) -> None:
        """One of this application's endpoints has changed."""
        self._generation += 1
        self._rooms.pop(app_id, None)

    def forget_event_types(self) -> None:
        """An event type has changed."""
        self._generation += 1
        self._event_types = None

    async def _room(self, app_id: AppId) -> _Room:
        room = self._rooms.get(app_id)
        if room is not None:
            return room
        generation = self._generation
        endpoints = await self._store.all_endpoints(app_id)
        application = await self._store.get_application(app_id)
        limit = None if application is None else application.rate_limit
        room = _Room({each.id: each for each in endpoints}, rate_limit=limit)
        if generation == self._generation:
            if len(self._rooms) >= _MAX_KEPT:
                self._rooms.clear()
            self._rooms[app_id] = room
        return room
