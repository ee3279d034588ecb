"""The way in to the admin: finds the page, sees who comes, and guards the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from stafett import errors
from stafett.app import Receive, Scope, Stafett
from stafett.model import Role
from stafett.services.users import may
from stafett.web.admin import guard, render
from stafett.web.admin.languages import chosen
from stafett.web.admin.pages import PAGES
from stafett.web.admin.visits import Page, Visit
from stafett.web.calls import Reply, Stream
from stafett.web.errors import headers_of, status_of
from stafett.web.tree import Tree, variables

Read = Callable[..., Awaitable[bytes]]
"""Reads a request's body up to a limit: `(scope, receive, limit=…)`."""

PREFIX: Final = "/admin"
_MAX_FORM: Final = 2 * 1024 * 1024
_MAX_OPEN_FORM: Final = 16 * 1024
"""Of those that anybody may send, at leisure and from many connections."""


class Admin:
    """The admin of one Stafett."""

    def __init__(self, stafett: Stafett, *, read: Read) -> None:
        self._stafett = stafett
        self._read = read
        self._tree: Tree[Page] = Tree(PAGES)

    async def answer(self, path: str, scope: Scope, receive: Receive) -> Reply | Stream:
        """The answer to a request below `/admin`. Never raises for what a visitor did."""
        inner = path.removeprefix(PREFIX).strip("/")
        headers = dict(scope["headers"])
        language = chosen(
            guard.cookie(headers, guard.LANGUAGE_COOKIE),
            headers.get(b"accept-language", b"").decode("latin-1"),
        )
        visit = Visit(self._stafett, scope, params={}, language=language)
        try:
            guard.check_host(headers, self._stafett.settings)
            if inner.startswith("-/static/"):
                return render.static_reply(inner)
            answer = await self._page(inner, visit, receive)
        except errors.StafettError as error:
            answer = visit.page("error.html", status=status_of(error), error=error)
            answer.headers += headers_of(error)
        if isinstance(answer, Reply):
            answer.headers += render.HEADERS
        return answer

    async def _page(self, inner: str, visit: Visit, receive: Receive) -> Reply | Stream:
        pages, values = self._tree.find(inner) or ({}, [])
        method = "GET" if visit.scope["method"] == "HEAD" else visit.scope["method"]
        page = pages.get(method)
        if page is None:
            message = "there is no such page"
            raise errors.NotFound(message)
        visit.params = dict(zip(variables(page.path), values, strict=True))
        guard.check_origin(visit.scope, visit.headers)
        await self._recognize(visit)
        if page.role is not None:
            if visit.user is None:
                return await self._ask_in(visit)
            if not may(visit.user, page.role):
                raise _not_for(page.role)
        if method == "POST":
            limit = _MAX_OPEN_FORM if page.role is None else _MAX_FORM
            visit.body = await self._read(visit.scope, receive, limit=limit)
            visit.read_form()
            if visit.user is not None:
                guard.check_form_token(visit.field("csrf"), visit.session_text)
        return await page.show(visit)

    async def _recognize(self, visit: Visit) -> None:
        secure = guard.is_secure(visit.scope, self._stafett.settings)
        text = guard.cookie(visit.headers, guard.cookie_name(secure=secure))
        found = await self._stafett.users.session(text) if text else None
        if found is not None:
            visit.session, visit.user = found
            visit.session_text = text

    async def _ask_in(self, visit: Visit) -> Reply:
        """Somebody who is not signed in asked for a page that is not for everybody."""
        if not await self._stafett.users.somebody():
            return visit.go("setup")
        if guard.by_htmx(visit.headers):
            # A form to sign in has no place in a part of a page: the whole page is asked for again.
            return Reply(401, b"", [(b"hx-refresh", b"true")])
        wanted = visit.scope["path"] if visit.scope["method"] == "GET" else None
        return visit.go("sign-in", then=wanted)


def _not_for(role: Role) -> errors.Forbidden:
    return errors.Forbidden(f"this needs the role {role.value}; ask an owner or an admin for it")
