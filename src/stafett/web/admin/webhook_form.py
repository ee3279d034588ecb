"""The form of a webhook: what stands in its fields, and what they mean to an endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from stafett import errors, settings
from stafett.model import Endpoint, EndpointOptions, HeaderFamily, PayloadStyle
from stafett.services.endpoints import visible_headers
from stafett.web.admin import render
from stafett.web.admin.visits import Visit

_MIN_NAME: Final = 2
HIDDEN: Final = render.MASK
"""Stands for the value of a header that is not shown."""


@dataclass(slots=True)
class Form:
    """What stands in the fields; what was typed stays there when it has to be mended."""

    name: str = ""
    url: str = ""
    every_event: bool = False
    event_types: Sequence[str] = ()
    active: bool = True
    description: str = ""
    channels: str = ""
    rate_limit: str = ""
    header_family: str = HeaderFamily.WEBHOOK.value
    headers: str = ""
    metadata: str = ""
    secret: str = ""
    payload_style: str = PayloadStyle.ACCEPTED.value
    retry_schedule: str = ""
    timeout: str = ""
    concurrency: str = ""
    problems: list[errors.Problem] = field(default_factory=list[errors.Problem])

    @classmethod
    def sent(cls, visit: Visit) -> Form:
        """As the visitor filled it in."""
        return cls(
            name=visit.field("name"),
            url=visit.field("url"),
            every_event=visit.ticked("every_event"),
            event_types=visit.fields("event_types"),
            active=visit.ticked("active"),
            description=visit.field("description"),
            channels=visit.field("channels"),
            rate_limit=visit.field("rate_limit"),
            header_family=visit.field("header_family", HeaderFamily.WEBHOOK.value),
            headers=visit.field("headers"),
            metadata=visit.field("metadata"),
            secret=visit.field("secret"),
            payload_style=visit.field("payload_style", PayloadStyle.ACCEPTED.value),
            retry_schedule=visit.field("retry_schedule"),
            timeout=visit.field("timeout"),
            concurrency=visit.field("concurrency"),
        )

    @classmethod
    def of(cls, endpoint: Endpoint) -> Form:
        """As the webhook is. Values of secret headers are not shown, and kept if not written."""
        shown, hidden = visible_headers(endpoint)
        return cls(
            name=endpoint.name,
            url=endpoint.url,
            every_event=endpoint.event_types is None,
            event_types=sorted(endpoint.event_types or ()),
            active=not endpoint.disabled,
            description=endpoint.description,
            channels=", ".join(sorted(endpoint.channels or ())),
            rate_limit="" if endpoint.rate_limit is None else str(endpoint.rate_limit),
            header_family=endpoint.header_family.value,
            headers=_lines(shown | dict.fromkeys(hidden, HIDDEN)),
            metadata=_lines(endpoint.metadata),
            payload_style=endpoint.payload_style.value,
            retry_schedule=_written(endpoint.retry_schedule),
            timeout="" if endpoint.timeout is None else settings.show(endpoint.timeout),
            concurrency="" if endpoint.concurrency is None else str(endpoint.concurrency),
        )

    def values(self) -> dict[str, Any]:
        """The fields as a webhook has them, without headers and options. Problems are noted."""
        if not self.every_event and not self.event_types:
            self.note("event_types", "choose at least one event, or all")
        if len(self.name) < _MIN_NAME:
            self.note("name", f"must have at least {_MIN_NAME} characters")
        channels = frozenset(self.channels.replace(",", " ").split())
        return {
            "name": self.name,
            "url": self.url,
            "event_types": None if self.every_event else frozenset(self.event_types),
            "description": self.description,
            "channels": channels or None,
            "rate_limit": self.whole("rate_limit", self.rate_limit),
            "header_family": self.family(),
            "metadata": self.pairs("metadata", self.metadata),
        }

    def options(self) -> EndpointOptions:
        """What it has otherwise than usual. Problems are noted."""
        return EndpointOptions(
            payload_style=self.style(),
            retry_schedule=self.waits(),
            timeout=self.duration("timeout", self.timeout),
            concurrency=self.whole("concurrency", self.concurrency),
        )

    def family(self) -> HeaderFamily:
        """The usual one where it is none that is offered."""
        if self.header_family not in set(HeaderFamily):
            self.note("header_family", "is not one of the choices")
            self.header_family = HeaderFamily.WEBHOOK.value
        return HeaderFamily(self.header_family)

    def style(self) -> PayloadStyle:
        """The usual one where it is none that is offered."""
        if self.payload_style not in set(PayloadStyle):
            self.note("payload_style", "is not one of the choices")
            self.payload_style = PayloadStyle.ACCEPTED.value
        return PayloadStyle(self.payload_style)

    def waits(self) -> tuple[timedelta, ...] | None:
        """The schedule; a single 0, which no wait can be, says that there is no second attempt."""
        parts = [each.strip() for each in self.retry_schedule.split(",") if each.strip()]
        waits = [self.duration("retry_schedule", each) for each in parts]
        if waits == [timedelta(0)]:
            return ()
        return tuple(each for each in waits if each is not None) or None

    def whole(self, name: str, text: str) -> int | None:
        """A whole number; None where nothing was written."""
        try:
            return int(text) if text else None
        except ValueError:
            self.note(name, "must be a whole number")
            return None

    def duration(self, name: str, text: str) -> timedelta | None:
        """A duration as settings have it; None where nothing was written."""
        try:
            return settings.parse_duration(text) if text else None
        except ValueError as error:
            self.note(name, str(error))
            return None

    def pairs(self, name: str, text: str) -> dict[str, str]:
        """Lines of `name: value`."""
        found: dict[str, str] = {}
        for line in filter(None, map(str.strip, text.splitlines())):
            key, colon, value = line.partition(":")
            if not colon or not key.strip():
                self.note(name, "must be lines of the form name: value")
                continue
            found[key.strip()] = value.strip()
        return found

    def note(self, name: str, message: str) -> None:
        """A field cannot stay as it is; once is enough to say so."""
        problem = errors.Problem(("body", name), message)
        if problem not in self.problems:
            self.problems.append(problem)


def _lines(pairs: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in pairs.items())


def _written(waits: tuple[timedelta, ...] | None) -> str:
    """A schedule as the form has it."""
    if waits is None:
        return ""
    return ", ".join(map(settings.show_duration, waits)) or "0"
