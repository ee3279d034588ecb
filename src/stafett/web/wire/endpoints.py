"""Endpoints on the wire, with their secrets and headers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from stafett import signing
from stafett.model import Endpoint, HeaderFamily, PayloadStyle
from stafett.web.wire.base import In, Out, seconds


class EndpointIn(In):
    """A new endpoint, or all of one."""

    url: str
    name: str | None = None
    description: str = ""
    uid: str | None = None
    disabled: bool = False
    event_types: list[str] | None = None
    filter_types: list[str] | None = None
    channels: list[str] | None = None
    throttle_rate: int | None = None
    rate_limit: int | None = None
    metadata: dict[str, str] | None = None
    secret: str | None = None
    headers: dict[str, str] | None = None
    header_family: HeaderFamily | None = None
    integration: str | None = None
    payload_style: PayloadStyle | UnsetType = UNSET
    retry_schedule: list[float] | UnsetType | None = UNSET
    """Seconds; null: the server's."""
    timeout: float | UnsetType | None = UNSET
    """Seconds; null: the server's."""
    concurrency: int | UnsetType | None = UNSET
    """Null: as many requests at once as it stands."""


class EndpointPatch(In):
    """What is to change; null empties a field."""

    url: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    uid: str | UnsetType | None = UNSET
    disabled: bool | UnsetType = UNSET
    event_types: list[str] | UnsetType | None = UNSET
    filter_types: list[str] | UnsetType | None = UNSET
    channels: list[str] | UnsetType | None = UNSET
    throttle_rate: int | UnsetType | None = UNSET
    rate_limit: int | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET
    header_family: HeaderFamily | UnsetType = UNSET
    integration: str | UnsetType = UNSET
    payload_style: PayloadStyle | UnsetType = UNSET
    retry_schedule: list[float] | UnsetType | None = UNSET
    timeout: float | UnsetType | None = UNSET
    concurrency: int | UnsetType | None = UNSET


class EndpointOut(Out):
    """An endpoint: a webhook, as the admin calls it."""

    id: str
    url: str
    name: str
    description: str
    disabled: bool
    version: int
    created_at: datetime
    updated_at: datetime
    metadata: dict[str, str]
    integration: str
    event_count: int
    header_family: str
    payload_style: str
    uid: str | None = None
    event_types: list[str] | None = None
    filter_types: list[str] | None = None
    channels: list[str] | None = None
    throttle_rate: int | None = None
    rate_limit: int | None = None
    disabled_reason: str | None = None
    disabled_at: datetime | None = None
    failing_since: datetime | None = None
    paused_until: datetime | None = None
    last_attempt_at: datetime | None = None
    last_status_code: int | None = None
    last_cause: str | None = None
    retry_schedule: list[float] | None = None
    """Seconds; not there: the server's."""
    timeout: float | None = None
    """Seconds; not there: the server's."""
    concurrency: int | None = None


def endpoint_fields(endpoint: Endpoint) -> dict[str, Any]:  # of EndpointOut
    """What every answer tells of `endpoint`."""
    event_types = sorted(endpoint.event_types) if endpoint.event_types else None
    health, waits, timeout = endpoint.health, endpoint.retry_schedule, endpoint.timeout
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "name": endpoint.name,
        "description": endpoint.description,
        "disabled": endpoint.disabled,
        "version": 1,
        "created_at": endpoint.created_at,
        "updated_at": endpoint.updated_at,
        "metadata": dict(endpoint.metadata),
        "integration": endpoint.integration,
        "event_count": health.event_count,
        "header_family": endpoint.header_family,
        "uid": endpoint.uid,
        "event_types": event_types,
        "filter_types": event_types,
        "channels": sorted(endpoint.channels) if endpoint.channels else None,
        "throttle_rate": endpoint.rate_limit,
        "rate_limit": endpoint.rate_limit,
        "disabled_reason": endpoint.disabled_reason,
        "disabled_at": endpoint.disabled_at,
        "failing_since": health.failing_since,
        "paused_until": health.paused_until,
        "last_attempt_at": health.last_attempt_at,
        "last_status_code": health.last_status_code,
        "last_cause": health.last_cause,
        "payload_style": endpoint.payload_style,
        "retry_schedule": None if waits is None else [seconds(each) for each in waits],
        "timeout": None if timeout is None else seconds(timeout),
        "concurrency": endpoint.concurrency,
    }


def endpoint_out(endpoint: Endpoint) -> EndpointOut:
    """`endpoint` as the wire shows it, without secrets and headers."""
    return EndpointOut(**endpoint_fields(endpoint))


class KeyOut(Out):
    """A signing secret; of an Ed25519 one also what its receiver verifies with."""

    key: str
    public_key: str | UnsetType = UNSET


def key_out(key: str) -> KeyOut:
    """A secret as it is answered."""
    return KeyOut(key=key, public_key=signing.public_key(key) or UNSET)


class RotateIn(In):
    """A new secret, or none to have one made; how long the old one goes on signing."""

    key: str | None = None
    grace_period_seconds: int | None = None


class HeadersIn(In):
    """All the headers an endpoint is sent."""

    headers: dict[str, str]


class HeadersPatch(In):
    """Headers to set, and (null, or by name) to delete."""

    headers: dict[str, str | None] = msgspec.field(default_factory=dict)
    delete_headers: list[str] = msgspec.field(default_factory=list)


class HeadersOut(Out):
    """Headers anybody may see, and the names of those whose values are hidden."""

    headers: dict[str, str]
    sensitive: list[str]
