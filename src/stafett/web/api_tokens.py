"""Tokens over HTTP: for owners only."""

from __future__ import annotations

from stafett.ids import TokenId
from stafett.web import paging
from stafett.web.calls import Call, Reply, aware
from stafett.web.wire.tokens import TokenIn, token_out


async def list_tokens(call: Call) -> Reply:
    """Every token, revoked ones too; never their texts."""
    asked = paging.query(call)
    page = await call.stafett.tokens.list(asked)
    return Reply(200, paging.answer(page, asked, key=lambda each: each.id, out=token_out))


async def create_token(call: Call) -> Reply:
    """A new token; its text is in this answer and nowhere else."""
    body = call.read(TokenIn)
    app_id = None
    if body.app is not None:
        app_id = (await call.stafett.applications.get(body.app)).id
    token, text = await call.stafett.tokens.create(
        body.name,
        app_id=app_id,
        expires_at=None if body.expires_at is None else aware(body.expires_at, field="expires_at"),
    )
    return Reply(201, token_out(token, text))


async def revoke_token(call: Call) -> Reply:
    """Refuse a token from now on."""
    await call.stafett.tokens.revoke(TokenId(call.params["token"]))
    return Reply(204)
