"""Endpoints: where an application's messages go, and how they are signed.

A change is in the directory's memory no later than it is answered, so the next message sees it.
Secrets leave here only through `secret` and `rotate_secret`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from stafett import egress, errors, ids, model
from stafett.engine.directory import Directory
from stafett.ids import AppId, EndpointId, Ids
from stafett.model import (
    DeliveryStats,
    DisabledReason,
    Endpoint,
    EndpointChanges,
    EndpointOptions,
    EndpointSecret,
    HeaderFamily,
    Page,
    PageQuery,
)
from stafett.services import activity, fields, secrets
from stafett.services.activity import Activity, Horizon, Range
from stafett.services.endpoint_checks import EndpointChecks
from stafett.store import AttemptsMeasured, Store

MAX_STATS_RANGE: Final = timedelta(days=28)
# A client's clock may be a little off, and it made its range before we read it.
_CLOCK_SLACK: Final = timedelta(minutes=5)
_RECENT: Final = 100
_THIS_MOMENT: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEndpoint:
    """What makes an endpoint.

    None in `name`, `integration` and `header_family` means the usual one (the URL's host, `manual`,
    `webhook-*`) for a new endpoint, and "leave it" where an upsert finds one; so does what is not
    in `options`. None or nothing in `event_types` and `channels` means all. Without a secret one is
    made.
    """

    url: str
    name: str | None = None
    description: str = ""
    uid: str | None = None
    event_types: Collection[str] | None = None
    channels: Collection[str] | None = None
    rate_limit: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    secret: str | None = None
    header_family: HeaderFamily | None = None
    integration: str | None = None
    disabled: bool = False
    options: EndpointOptions = field(default_factory=EndpointOptions)


def visible_headers(endpoint: Endpoint) -> tuple[dict[str, str], list[str]]:
    """The headers anybody may see, and the names of those whose values are hidden."""
    shown = {
        name: value for name, value in endpoint.headers.items() if not egress.is_sensitive(name)
    }
    return shown, [name for name in endpoint.headers if name not in shown]


def refuse_if_disabled(endpoint: Endpoint) -> None:
    """Errors: Conflict."""
    if endpoint.disabled:
        text = "this webhook is switched off; switch it on first"
        raise errors.Conflict(text)


def merged_headers(
    headers: Mapping[str, str], *, put: Mapping[str, str], delete: Collection[str]
) -> dict[str, str]:
    """`headers` without `delete`, with `put`; names are the same whatever their case."""
    gone = {name.lower() for name in (*delete, *put)}
    kept = {name: value for name, value in headers.items() if name.lower() not in gone}
    return kept | dict(put)


def stats_range(
    since: datetime | None, until: datetime | None, *, now: datetime
) -> tuple[datetime, datetime]:
    """The range to count in: the last 28 days unless told. Errors: InvalidRange."""
    end = until or now
    start = since or end - MAX_STATS_RANGE
    if end > now + _CLOCK_SLACK:
        message = "until must not be in the future"
        raise errors.InvalidRange(message)
    if start > end:
        message = "since must not be after until"
        raise errors.InvalidRange(message)
    if end - start > MAX_STATS_RANGE + _CLOCK_SLACK:
        message = "since and until may be at most 28 days apart"
        raise errors.InvalidRange(message)
    # Ids are as fine as 4 ms, and what was made this moment belongs to "until now".
    return start, end if until is not None else end + _THIS_MOMENT


class Endpoints:
    """The verbs. `app` and `ref` are ids or uids throughout.

    Errors of every verb: NotFound, also for an endpoint of another application.
    """

    def __init__(
        self,
        *,
        store: Store,
        directory: Directory,
        ids: Ids,
        clock: model.Clock,
        policy: egress.Policy,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._store = store
        self._directory = directory
        self._ids = ids
        self._clock = clock
        self._checks = EndpointChecks(directory, policy)
        self._entropy = entropy
        self._measured = activity.Memory(self._measure)

    async def create(self, app: str, new: NewEndpoint) -> Endpoint:
        """Errors: Invalid, Conflict (uid taken)."""
        endpoint = await self.draft(app, new)
        await self._store.add_endpoint(endpoint)
        self._directory.forget_endpoints(endpoint.app_id)
        return endpoint

    async def draft(self, app: str, new: NewEndpoint) -> Endpoint:
        """What `create` would make, kept nowhere. Errors: Invalid."""
        app_id = (await self._directory.application(app)).id
        now = self._clock()
        wanted = self._settled(_all_of(new), disabled=False, now=now)
        wanted["headers"] = new.headers
        checked = await self._checks.checked(wanted, secret=new.secret)
        return self._made(app_id, new, checked=checked, now=now)

    async def get(self, app: str, ref: str) -> Endpoint:
        """One endpoint as it is now."""
        app_id = (await self._directory.application(app)).id
        return await self._get(app_id, ref)

    async def list(self, app: str, page: PageQuery) -> Page[Endpoint]:
        """In order of id: newest first unless `page.ascending`."""
        app_id = (await self._directory.application(app)).id
        return await self._store.list_endpoints(app_id, page)

    async def all(self, app: str) -> list[Endpoint]:
        """Every one of an application, in order of id: for screens that sort and search."""
        app_id = (await self._directory.application(app)).id
        return await self._store.all_endpoints(app_id)

    async def check(
        self, app: str, changes: EndpointChanges, *, ref: str | None, secret: str | None = None
    ) -> tuple[errors.Problem, ...]:
        """What `update` of `ref` would refuse about `changes`; None: what `create` would."""
        had = None if ref is None else (await self.get(app, ref)).event_types
        try:
            await self._checks.checked(changes, had=had or frozenset(), secret=secret)
        except errors.Invalid as error:
            return error.problems
        return ()

    async def update(self, app: str, ref: str, changes: EndpointChanges) -> Endpoint:
        """Change what `changes` names. Errors: Invalid, Conflict (uid taken).

        Event types that it has already may stay although they are archived since.
        """
        endpoint = await self.get(app, ref)
        if not changes:
            return endpoint
        settled = self._settled(changes, disabled=endpoint.disabled, now=self._clock())
        return await self._write(
            endpoint, await self._checks.checked(settled, had=endpoint.event_types or frozenset())
        )

    async def upsert(self, app: str, ref: str, new: NewEndpoint) -> tuple[Endpoint, bool]:
        """Replace what the one known as `ref` was told, or create it with `ref` as its uid.

        An existing one keeps its secret and its headers: those have verbs of their own. Errors:
        Invalid, Conflict (uid taken).
        """
        app_id = (await self._directory.application(app)).id
        endpoint = await self._store.get_endpoint(app_id, ref)
        if endpoint is None:
            if ref.startswith(ids.ENDPOINT):
                raise _unknown(ref)
            _check_upsert_uid(ref, new.uid)
            try:
                return await self.create(app_id, replace(new, uid=ref)), True
            except errors.Conflict:  # somebody was faster: it is there to be replaced
                endpoint = await self._get(app_id, ref)
        changes = _all_of(new)
        if new.uid is None and ref == endpoint.uid:
            del changes["uid"]
        return await self.update(app_id, endpoint.id, changes), False

    async def delete(self, app: str, ref: str) -> None:
        """Nothing more is sent to it; what was sent stays in the log."""
        endpoint = await self.get(app, ref)
        await self._store.delete_endpoint(endpoint.id)
        self._directory.forget_endpoints(endpoint.app_id)

    async def enable(self, app: str, ref: str) -> Endpoint:
        """Send to it again, from the next message on."""
        return await self.update(app, ref, EndpointChanges(disabled=False))

    async def disable(self, app: str, ref: str) -> Endpoint:
        """Send nothing to it; what waits for it is canceled."""
        return await self.update(app, ref, EndpointChanges(disabled=True))

    async def secret(self, app: str, ref: str) -> str:
        """The secret that signs, in clear."""
        return (await self.get(app, ref)).secrets[0].secret.reveal()

    async def rotate_secret(
        self,
        app: str,
        ref: str,
        *,
        key: str | None = None,
        grace: timedelta = secrets.DEFAULT_GRACE,
    ) -> str:
        """Sign with `key` (None: a new one of the same kind) from now on; answers it.

        The one before signs too for `grace` (0 to 7 days). Rotating to the current secret changes
        nothing. Errors: Invalid, LimitReached (more than 10 old ones would still sign).
        """
        secrets.check_grace(grace)
        given = None if key is None else secrets.given(key, field="key")
        while True:
            endpoint = await self.get(app, ref)
            current = endpoint.secrets[0].secret
            new = given or secrets.new(self._entropy, like=current.reveal())
            if new == current:
                return new.reveal()
            kept = secrets.rotated(endpoint.secrets, new, now=self._clock(), grace=grace)
            was = EndpointChanges(secrets=endpoint.secrets)
            if await self._replace(endpoint, EndpointChanges(secrets=kept), was=was):
                return new.reveal()

    async def set_headers(self, app: str, ref: str, headers: Mapping[str, str]) -> Endpoint:
        """Replace all of its own headers. Errors: Invalid."""
        return await self.update(app, ref, EndpointChanges(headers=headers))

    async def patch_headers(
        self, app: str, ref: str, *, put: Mapping[str, str], delete: Collection[str] = ()
    ) -> Endpoint:
        """Set some of its own headers and delete others; the rest stays. Errors: Invalid."""
        while True:
            endpoint = await self.get(app, ref)
            headers = merged_headers(endpoint.headers, put=put, delete=delete)
            changes = await self._checks.checked(EndpointChanges(headers=headers))
            was = EndpointChanges(headers=endpoint.headers)
            if await self._replace(endpoint, changes, was=was):
                return await self._get(endpoint.app_id, endpoint.id)

    async def stats(
        self,
        app: str,
        ref: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> DeliveryStats:
        """Real deliveries of messages made in the range (the last 28 days) by state.

        Errors: InvalidRange (backwards, over 28 days, or ending in the future).
        """
        start, end = stats_range(since, until, now=self._clock())
        endpoint = await self.get(app, ref)
        return await self._store.endpoint_stats(endpoint.id, since=start, until=end)

    async def activity(self, app: str, horizon: Horizon = Horizon.DAY) -> Activity:
        """How attempts at all of an application's endpoints went lately.

        Less of them than was asked for where the attempts are too many to count.
        """
        app_id = (await self._directory.application(app)).id
        now = self._clock()
        return await activity.look_back(
            lambda asked: self._measured.of(app_id, asked, now=now), now=now, horizon=horizon
        )

    async def _measure(
        self, app_id: AppId, asked: list[Range], limit: int
    ) -> list[AttemptsMeasured]:
        return await self._store.measure_attempts(
            app_id, slots=asked, percents=activity.PERCENTS, limit=limit
        )

    async def recent_durations(self, app: str, refs: Collection[str]) -> list[timedelta]:
        """How long the newest real attempts at these endpoints took, 100 of each; shortest first.

        Ids of another application count nothing.
        """
        own = {each.id for each in await self.all(app)}
        wanted = [EndpointId(ref) for ref in refs if ref in own]
        return sorted(await self._store.recent_durations(wanted, limit=_RECENT))

    async def _get(self, app_id: AppId, ref: str) -> Endpoint:
        found = await self._store.get_endpoint(app_id, ref)
        if found is None:
            raise _unknown(ref)
        return found

    async def _replace(
        self, endpoint: Endpoint, changes: EndpointChanges, *, was: EndpointChanges
    ) -> bool:
        """False: somebody, perhaps in another process, was faster, and it has to be read again."""
        changed = await self._store.update_endpoint(
            endpoint.id, changes, now=self._clock(), was=was
        )
        self._directory.forget_endpoints(endpoint.app_id)
        return changed

    async def _write(self, endpoint: Endpoint, changes: EndpointChanges) -> Endpoint:
        if changes:
            await self._store.update_endpoint(endpoint.id, changes, now=self._clock())
            self._directory.forget_endpoints(endpoint.app_id)
        return await self._get(endpoint.app_id, endpoint.id)

    def _settled(
        self, changes: EndpointChanges, *, disabled: bool, now: datetime
    ) -> EndpointChanges:
        """`changes` with what follows from them; without a `disabled` that changes nothing.

        The store cancels work for an endpoint that is switched off and wipes the slate of one that
        is switched on, so a mere repetition must not reach it.
        """
        settled = EndpointChanges(**changes)
        if "disabled" not in settled:
            return settled
        if settled["disabled"] == disabled:
            del settled["disabled"]
        elif settled["disabled"]:
            settled["disabled_reason"] = settled.get("disabled_reason") or DisabledReason.MANUAL
            settled["disabled_at"] = now
        else:
            settled["disabled_reason"] = settled["disabled_at"] = None
        return settled

    def _made(
        self, app_id: AppId, new: NewEndpoint, *, checked: EndpointChanges, now: datetime
    ) -> Endpoint:
        url = checked.get("url", new.url)
        given = new.secret
        secret = secrets.new(self._entropy) if given is None else secrets.prefixed(given)
        return Endpoint(
            id=self._ids.endpoint(now),
            app_id=app_id,
            uid=new.uid,
            name=new.name or _host(url),
            url=url,
            description=new.description,
            integration=new.integration or "manual",
            disabled=new.disabled,
            disabled_reason=checked.get("disabled_reason"),
            disabled_at=checked.get("disabled_at"),
            event_types=checked.get("event_types"),
            channels=checked.get("channels"),
            rate_limit=new.rate_limit,
            metadata=new.metadata,
            headers=new.headers,
            header_family=new.header_family or HeaderFamily.WEBHOOK,
            secrets=(EndpointSecret(secret=secret),),
            **new.options,
            created_at=now,
            updated_at=now,
        )


def _unknown(ref: str) -> errors.NotFound:
    return errors.NotFound(f"there is no endpoint with the id or uid {ref!r}")


def _all_of(new: NewEndpoint) -> EndpointChanges:
    """What an upsert replaces: all but secret and headers; names left open stay open."""
    changes = EndpointChanges(
        uid=new.uid,
        url=new.url,
        description=new.description,
        disabled=new.disabled,
        event_types=frozenset(new.event_types or ()),
        channels=frozenset(new.channels or ()),
        rate_limit=new.rate_limit,
        metadata=new.metadata,
        **new.options,
    )
    if new.name is not None:
        changes["name"] = new.name
    if new.integration is not None:
        changes["integration"] = new.integration
    if new.header_family is not None:
        changes["header_family"] = new.header_family
    return changes


def _check_upsert_uid(ref: str, uid: str | None) -> None:
    found = fields.Findings()
    if uid is not None and uid != ref:
        found.add("must be the same as in the address", "uid", kind="endpoint_uid_mismatch")
    found.close()


def _host(url: str) -> str:
    """What an endpoint is called that nobody named."""
    return url.split("/")[2]
