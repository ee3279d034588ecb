"""Leaving, over HTTP: an application's token gives itself up, or all of them are told to end."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from stafett import errors
from stafett.web.calls import Call, Reply, span
from stafett.web.wire.tokens import ExpireIn

_SECOND: Final = timedelta(seconds=1)


async def logout(call: Call) -> Reply:
    """Revoke the token that asks; an application's, not an owner's."""
    token = call.token
    if token is None or token.app_id is None:
        message = "only an application's token can log out; revoke others with `token revoke`"
        raise errors.Forbidden(message)
    await call.stafett.tokens.revoke(token.id)
    return Reply(204)


async def expire_all(call: Call) -> Reply:
    """Have every token of an application expire, at once unless told."""
    body = call.read(ExpireIn)
    application = await call.stafett.applications.get(call.app)
    if body.session_ids:
        return Reply(204)  # tokens have no sessions here, so none has one of these
    after = span(body.expiry or 0, unit=_SECOND, field="expiry")
    await call.stafett.tokens.expire_all(application.id, after=after)
    return Reply(204)
