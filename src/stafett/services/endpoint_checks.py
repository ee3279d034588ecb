"""What an endpoint may be told, whoever tells it: every verb that writes one asks here first."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Final

from stafett import egress, errors, ids, retry
from stafett.engine.attempts import MAX_OWN_TIMEOUT, MIN_OWN_TIMEOUT
from stafett.engine.directory import Directory
from stafett.model import EndpointChanges
from stafett.services import fields, secrets

MAX_EVENT_TYPES: Final = 1_000


class EndpointChecks:
    """The checks, by what the catalogue and the server's policy say now."""

    def __init__(self, directory: Directory, policy: egress.Policy) -> None:
        self._directory = directory
        self._policy = policy

    async def checked(
        self, changes: EndpointChanges, *, had: Collection[str] = (), secret: str | None = None
    ) -> EndpointChanges:
        """`changes` in the form they are kept. Errors: Invalid with every problem."""
        found = fields.Findings()
        checked = EndpointChanges(**changes)
        if "url" in checked:
            checked["url"] = self._checked_url(found, checked["url"])
        if secret is not None:
            secrets.check(found, secret, field="secret")
        _check_fields(found, checked)
        # Nothing chosen means everything: some clients say it with an empty list.
        if "event_types" in checked:
            checked["event_types"] = frozenset(checked["event_types"] or ()) or None
        if "channels" in checked:
            checked["channels"] = frozenset(checked["channels"] or ()) or None
        found.channels(checked.get("channels"), limit=fields.MAX_ENDPOINT_CHANNELS)
        await self._check_event_types(found, (checked.get("event_types") or frozenset()) - set(had))
        found.close()
        return checked

    def _checked_url(self, found: fields.Findings, url: str) -> str:
        """The URL in the one form that is stored and sent to."""
        try:
            target = egress.parse(url)
        except errors.Invalid as exc:
            found.take(exc.problems, "url")
            return url
        verdict = egress.vet_target(target, policy=self._policy)
        if not verdict.allowed:
            found.add(
                f"is not an address that may be reached ({verdict.reason}); {egress.HINT}",
                "url",
                kind="target_not_allowed",
            )
        return target.url

    async def _check_event_types(self, found: fields.Findings, names: Collection[str]) -> None:
        if len(names) > MAX_EVENT_TYPES:
            found.add(f"may have at most {MAX_EVENT_TYPES:,}", "event_types")
            return
        known = await self._directory.event_types()
        for name in sorted(names):
            if name not in known:
                found.add(f"there is no event type {name!r}", "event_types")
            elif known[name].archived:
                found.add(f"the event type {name!r} is archived", "event_types")


def _check_fields(found: fields.Findings, changes: EndpointChanges) -> None:
    if "name" in changes:
        found.name(changes["name"], "name")
    if "integration" in changes:
        found.word(changes["integration"], "integration")
    found.text(changes.get("description", ""), "description")
    found.uid(changes.get("uid"), prefix=ids.ENDPOINT)
    found.rate_limit(changes.get("rate_limit"))
    found.concurrency(changes.get("concurrency"))
    found.metadata(changes.get("metadata", {}))
    _check_schedule(found, changes.get("retry_schedule"))
    _check_timeout(found, changes.get("timeout"))
    found.problems += egress.check_headers(changes.get("headers", {}))


def _check_schedule(found: fields.Findings, waits: Collection[timedelta] | None) -> None:
    if waits is None:
        return
    if len(waits) > retry.MAX_OWN_WAITS:
        found.add(f"may have at most {retry.MAX_OWN_WAITS} waits", "retry_schedule")
    for place, wait in enumerate(waits):
        if not timedelta(0) < wait <= retry.MAX_OWN_WAIT:
            longest = retry.MAX_OWN_WAIT.days
            text = f"each wait must be longer than nothing and at most {longest} days"
            found.add(text, "retry_schedule", place)
            return


def _check_timeout(found: fields.Findings, timeout: timedelta | None) -> None:
    if timeout is not None and not MIN_OWN_TIMEOUT <= timeout <= MAX_OWN_TIMEOUT:
        least, most = (int(each.total_seconds()) for each in (MIN_OWN_TIMEOUT, MAX_OWN_TIMEOUT))
        found.add(f"must be between {least} and {most} seconds", "timeout")
