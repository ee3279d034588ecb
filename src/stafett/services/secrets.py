"""Signing secrets of an endpoint: what may be one, and how one follows another. Pure.

The first of an endpoint's secrets is the one in force; those behind it sign until they expire.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from stafett import errors, signing
from stafett.model import EndpointSecret, Secret
from stafett.services import fields

DEFAULT_GRACE: Final = timedelta(hours=24)
MAX_GRACE: Final = timedelta(days=7)
MAX_OLD_SECRETS: Final = 10
_SECRET_BYTES: Final = 24
_SEED_BYTES: Final = 32


def new(entropy: Callable[[int], bytes], *, like: str = "") -> Secret:
    """A new one: symmetric unless `like` is an Ed25519 key, whose receivers hold no secret."""
    if like.startswith(signing.PRIVATE):
        return Secret(private_key(entropy(_SEED_BYTES)))
    return Secret(signing.new_secret(entropy(_SECRET_BYTES)))


def private_key(seed: bytes) -> str:
    """An Ed25519 secret of a 32-byte seed: `whsk_` and base64 of seed and public half."""
    half = signing.PRIVATE + base64.b64encode(seed).decode()
    public = (signing.public_key(half) or "").removeprefix(signing.PUBLIC)
    return signing.PRIVATE + base64.b64encode(seed + base64.b64decode(public)).decode()


def check(found: fields.Findings, secret: str, *, field: str) -> None:
    """Add what is wrong with it to `found`."""
    try:
        signing.check_secret(secret)
    except errors.Invalid as exc:
        found.take(exc.problems, field)


def given(text: str, *, field: str) -> Secret:
    """One that somebody chose. Errors: Invalid, for the body's `field`."""
    found = fields.Findings()
    check(found, text, field=field)
    found.close()
    return prefixed(text)


def prefixed(text: str) -> Secret:
    """In the form that every verifier knows; one may be given without its prefix."""
    known = text.startswith((signing.SYMMETRIC, signing.PRIVATE))
    return Secret(text if known else signing.SYMMETRIC + text)


def check_grace(grace: timedelta) -> None:
    """Errors: Invalid."""
    found = fields.Findings()
    if not timedelta(0) <= grace <= MAX_GRACE:
        found.add("must be between 0 and 604,800 seconds", "grace")
    found.close()


def rotated(
    secrets: tuple[EndpointSecret, ...], new: Secret, *, now: datetime, grace: timedelta
) -> tuple[EndpointSecret, ...]:
    """`new` in front; the one before it signs on for `grace`, older ones to their own end.

    Errors: LimitReached when more than 10 old ones would still sign.
    """
    current = replace(secrets[0], expires_at=now + grace)
    old = tuple(
        each
        for each in (current, *secrets[1:])
        if each.secret != new and each.expires_at is not None and each.expires_at > now
    )
    if len(old) > MAX_OLD_SECRETS:
        message = (
            f"{MAX_OLD_SECRETS} former secrets still sign; wait until one of them has ended,"
            " or rotate without a grace period"
        )
        raise errors.LimitReached(message)
    return (EndpointSecret(secret=new), *old)
