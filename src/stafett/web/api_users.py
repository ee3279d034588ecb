"""Users over HTTP: for owners' tokens only, as `stafett user` needs it on the server itself."""

from __future__ import annotations

from typing import Final

from stafett.model import Page
from stafett.web import paging
from stafett.web.calls import Call, Reply
from stafett.web.wire.users import PasswordIn, UserIn, user_out

_ACTOR: Final = "API token"


async def _note(call: Call, action: str, target: str) -> None:
    actor = _ACTOR if call.token is None else f"{_ACTOR} {call.token.name}"
    await call.stafett.audit.note(action, actor=actor, target=target)


async def list_users(call: Call) -> Reply:
    """Everybody who may sign in to the admin."""
    asked = paging.query(call)
    users = [
        each
        for each in await call.stafett.users.list()
        if asked.after is None or each.id > asked.after
    ]
    page = Page(tuple(users[: asked.limit]), done=len(users) <= asked.limit)
    return Reply(200, paging.answer(page, asked, key=lambda each: each.id, out=user_out))


async def create_user(call: Call) -> Reply:
    """Add somebody who may sign in."""
    body = call.read(UserIn)
    user = await call.stafett.users.create(
        email=body.email, name=body.name, password=body.password, role=body.role
    )
    await _note(call, "user.created", user.id)
    return Reply(201, user_out(user))


async def set_password(call: Call) -> Reply:
    """Give a user a new password; all their sessions end."""
    body = call.read(PasswordIn)
    user = await call.stafett.users.set_password(call.params["user"], body.password)
    await _note(call, "user.password_changed", user.id)
    return Reply(200, user_out(user))


async def delete_user(call: Call) -> Reply:
    """Remove a user and their sessions."""
    user = await call.stafett.users.delete(call.params["user"])
    await _note(call, "user.deleted", user.id)
    return Reply(204)
