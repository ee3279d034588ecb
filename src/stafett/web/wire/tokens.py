"""Tokens on the wire."""

from __future__ import annotations

from datetime import datetime

from stafett.model import Token
from stafett.web.wire.base import In, Out


class TokenIn(In, forbid_unknown_fields=True):
    """A new token: for everything, or for one application."""

    # A limit that was misspelt must not be lost on the way: the token could do everything.
    name: str
    app: str | None = None
    expires_at: datetime | None = None


class TokenOut(Out):
    """A token; its text only in the answer that made it."""

    id: str
    name: str
    created_at: datetime
    app_id: str | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    token: str | None = None


def token_out(token: Token, text: str | None = None) -> TokenOut:
    """`token` as the wire shows it."""
    return TokenOut(
        id=token.id,
        name=token.name,
        created_at=token.created_at,
        app_id=token.app_id,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        last_used_at=token.last_used_at,
        token=text,
    )


class ExpireIn(In):
    """When all tokens of an application end: in so many seconds, at once unless told."""

    expiry: int | None = None
    session_ids: list[str] | None = None
