"""The ASGI application: from bytes to a handler and back.

One small dispatcher for all of the API: reading, token, handler, errors. It stands bare on ASGI
because accepting a message is the hottest path there is; a framework's request object would cost
more than the rest of the work.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Collection
from typing import Any, Final

from typing_extensions import override

from stafett import errors
from stafett.app import Asgi, Receive, Scope, Send, Stafett
from stafett.ids import AppId
from stafett.web import api_bins, bins, metrics, openapi, probes
from stafett.web.calls import Call, RawHeaders, Reply, Stream
from stafett.web.errors import body_of, headers_of, status_of
from stafett.web.idempotency import Promises
from stafett.web.not_offered import is_not_offered
from stafett.web.protocol import answer_whole
from stafett.web.routes import PREFIX, ROUTES, Access, Route
from stafett.web.tree import Tree, variables
from stafett.web.uploads import Uploads

_log = logging.getLogger("stafett.web")

_JSON: Final = (b"content-type", b"application/json")
_NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
_NO_STORE: Final = (b"cache-control", b"no-store")
_ANY_ORIGIN: Final = (b"access-control-allow-origin", b"*")
_PLAIN_HEAD: Final = (
    b"content-type: application/json\r\nx-content-type-options: nosniff\r\ncontent-length: %d\r\n"
)
"""Of a JSON answer to a POST with nothing special about it."""
_STREAMED: Final[RawHeaders] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    _NO_STORE,
    (b"x-accel-buffering", b"no"),
]
_CORS_METHODS: Final = b"GET, POST, PUT, PATCH, DELETE, HEAD"
_API: Final = PREFIX + "/"
_INGEST: Final = "/ingest" + PREFIX
_CATALOG: Final = "/catalog"
_PAGES: Final = frozenset({"/", "/health", "/ready", "/metrics", "/openapi.json", "/docs"})

_PROBES: Final = frozenset({"/health", "/ready", "/metrics"})


def make_app(stafett: Stafett, *, only_probes: bool = False) -> Asgi:
    """The HTTP side of `stafett`; of one that only sends, `only_probes`."""
    return _Probes(stafett) if only_probes else _App(stafett)


class _App:
    """See `make_app`."""

    def __init__(self, stafett: Stafett) -> None:
        self._stafett = stafett
        self._tree = Tree(ROUTES)
        self._variables = {route: variables(route.path) for route in ROUTES}
        self._promises = Promises(stafett)
        self._uploads = Uploads(stafett.stopping)
        self._pages = openapi.Pages(stafett)
        self._pages_for_people: Any = None
        self._pages_for_anybody: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                answer = await self._safe_answer(scope, receive, send)
            case "lifespan":
                return await self._lifespan(receive, send)
            case _:  # a WebSocket: there is nothing to talk about
                return await send({"type": "websocket.close", "code": 1000})
        if answer is None or (isinstance(answer, Reply) and _sent_whole(send, scope, answer)):
            return None
        if isinstance(answer, Stream) and scope["method"] == "HEAD":
            await answer.chunks.aclose()
            answer = Reply(200, headers=_STREAMED)
        if isinstance(answer, Stream):
            return await _send_stream(
                send, answer, stopping=self._stafett.stopping, receive=receive
            )
        return await _send_reply(send, scope, answer)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._stafett.start()
        except errors.StafettError as error:
            await send({"type": "lifespan.startup.failed", "message": error.detail})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stafett.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _safe_answer(
        self, scope: Scope, receive: Receive, send: Send
    ) -> Reply | Stream | None:
        """None: the answer was sent already."""
        try:
            if not self._stafett.started and not self._stafett.stopping.is_set():
                # Mounted in somebody else's application, no lifespan event may ever come. What has
                # ended does not begin again: its store answers that it is closed.
                await self._stafett.start()
            return await self._answer(scope, receive, send)
        except errors.StafettError as error:
            return Reply(status_of(error), body_of(error), headers_of(error))
        except Exception:  # noqa: BLE001 - the edge of the server: the log says what went wrong
            _log.exception("event=request.crashed path=%s", scope["path"])
            return Reply(500, {})

    def _answer(
        self, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[Reply | Stream | None]:
        path = _own_path(scope)
        if path.startswith(_API):
            return self._api(path, scope, receive)
        if path == "/admin" or path.startswith("/admin/"):
            return self._admin().answer(path, scope, receive)
        if path == _CATALOG or path.startswith(f"{_CATALOG}/"):
            return self._catalogue(path, scope)
        first, _, rest = path[1:].partition("/")
        if first == "in" and rest:
            token = rest.partition("/")[0]
            return bins.catch(
                self._stafett, (scope, receive, send), token=token, uploads=self._uploads
            )
        return self._page(path.rstrip("/") or "/", scope)

    def _admin(self) -> Any:
        """Loaded with its first page: who has no use for it does not wait for its templates."""
        if self._pages_for_people is None:
            admin = importlib.import_module("stafett.web.admin.app")
            self._pages_for_people = admin.Admin(self._stafett, read=self._uploads.read)
        return self._pages_for_people

    async def _catalogue(self, path: str, scope: Scope) -> Reply:
        """Where it is not switched on, there is nothing, as anywhere else."""
        if not self._stafett.settings.public_catalog:
            raise _unknown(path)
        if scope["method"] not in {"GET", "HEAD"}:
            return _other_method(scope, {"GET"})
        if self._pages_for_anybody is None:
            catalogue = importlib.import_module("stafett.web.catalogue")
            self._pages_for_anybody = catalogue.Catalogue(self._stafett)
        return await self._pages_for_anybody.answer(path, scope)

    async def _page(self, path: str, scope: Scope) -> Reply:
        if path.startswith(_INGEST):
            raise _not_offered(path)
        if path not in _PAGES:
            raise _unknown(path)
        if scope["method"] not in {"GET", "HEAD"}:
            return _other_method(scope, {"GET"})
        match path:
            case "/":
                root: str = scope.get("root_path", "")
                return Reply(303, b"", [(b"location", f"{root}/admin/".encode())])
            case "/health":
                return probes.health()
            case "/ready":
                return probes.ready(self._stafett)
            case "/metrics":
                body = await metrics.text(self._stafett)
                return _bytes(body, metrics.CONTENT_TYPE)
            case "/openapi.json":
                return _bytes(
                    await self._pages.document(scope.get("root_path", "")), "application/json"
                )
            case _:
                return Reply(200, await self._pages.reading(), self._pages.reading_headers())

    async def _api(self, path: str, scope: Scope, receive: Receive) -> Reply | Stream:
        # Nothing has a name with NUL in it, and not every store can be asked for one.
        known = None if "\0" in path else self._tree.find(path[len(_API) :])
        routes, values = known or ({}, [])
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        route = routes.get(method)
        if route is None:
            return _without_route(scope, path, routes)
        params = dict(zip(self._variables[route], values, strict=True))
        call = Call(self._stafett, scope, params=params)
        if route.access is not Access.OPEN:
            await self._admit(call, route)
        call.body = await self._uploads.read(scope, receive, limit=route.max_body)
        if method == "POST" and not route.own_idempotency:
            return await self._promises.keep(call, route.handler)
        return await route.handler(call)

    async def _admit(self, call: Call, route: Route) -> None:
        """Errors: Unauthenticated, NotFound, Forbidden."""
        text = call.bearer
        try:
            token = call.token = await self._stafett.tokens.authenticate(text)
        except errors.Unauthenticated:
            if route.access is Access.READER and await api_bins.may_read(call, text):
                return
            raise
        if token.app_id is not None and route.access is not Access.ANY:
            await self._authorize(call, route, app_id=token.app_id)

    async def _authorize(self, call: Call, route: Route, *, app_id: AppId) -> None:
        """An application's token: its own application, and there not everything.

        Another application answers as one that does not exist. Errors: NotFound, Forbidden.
        """
        if call.app:
            application = await self._stafett.applications.get(call.app)
            if application.id != app_id:
                message = f"there is no application with the id or uid {call.app!r}"
                raise errors.NotFound(message)
        if route.access is not Access.APP:
            message = "this needs an owner token; this one is for a single application"
            raise errors.Forbidden(message)


class _Probes(_App):
    """What is asked of a process that only sends."""

    @override
    def _answer(
        self, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[Reply | Stream | None]:
        path = _own_path(scope).rstrip("/")
        if path not in _PROBES:
            message = f"this process only sends: it has {', '.join(sorted(_PROBES))}"
            raise errors.NotFound(message)
        return self._page(path, scope)


def _own_path(scope: Scope) -> str:
    """The path without the prefix that another application mounted us under."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) or "/" if root and path.startswith(root) else path


def _unknown(path: str) -> errors.NotFound:
    return errors.NotFound(f"there is nothing at {path}; /docs lists what there is")


def _not_offered(path: str) -> errors.NotImplementedHere:
    message = f"{path} is part of the format, but Stafett does not offer it (yet)"
    return errors.NotImplementedHere(message)


def _without_route(scope: Scope, path: str, routes: Collection[str]) -> Reply:
    """Errors: NotImplementedHere, NotFound."""
    if scope["method"] != "OPTIONS" and is_not_offered(path[len(_API) :]):
        raise _not_offered(path)
    if not routes:
        raise _unknown(path)
    return _other_method(scope, routes)


def _other_method(scope: Scope, methods: Collection[str]) -> Reply:
    """What the methods are, for one that is not among them."""
    more = ["HEAD"] if "GET" in methods else []
    allowed = ", ".join(sorted([*methods, *more])).encode()
    if scope["method"] == "OPTIONS":
        return Reply(204, headers=_preflight(scope, allowed))
    detail = f"{scope['method']} is not possible here, {allowed.decode()} is"
    return Reply(405, {"code": "method_not_allowed", "detail": detail}, [(b"allow", allowed)])


def _preflight(scope: Scope, allowed: bytes) -> RawHeaders:
    """Any origin may ask: what a request may do, its token says, and browsers add none."""
    asked = dict(scope["headers"]).get(b"access-control-request-headers", b"*")
    return [
        (b"allow", allowed),
        (b"access-control-allow-methods", _CORS_METHODS),
        (b"access-control-allow-headers", asked),
        (b"access-control-max-age", b"600"),
    ]


def _bytes(body: bytes, content_type: str) -> Reply:
    return Reply(200, body, [(b"content-type", content_type.encode())])


def _sent_whole(send: Send, scope: Scope, reply: Reply) -> bool:
    """Send the short way, where there is one, an answer to a POST with nothing special about it."""
    if scope["method"] != "POST" or reply.headers or _from_page(scope):
        return False
    body = reply.body()
    return bool(body) and answer_whole(send, reply.status, head=_PLAIN_HEAD % len(body), body=body)


async def _send_reply(send: Send, scope: Scope, reply: Reply) -> None:
    body = reply.content if isinstance(reply.content, bytes) else reply.body()
    headers = [*reply.headers, _NOSNIFF]
    if not isinstance(reply.content, bytes) and body:
        headers.append(_JSON)
    # Answers to POST are not kept by anybody.
    if scope["method"] != "POST" and not any(name == b"cache-control" for name, _ in headers):
        headers.append(_NO_STORE)
    if reply.status != 204:
        headers.append((b"content-length", b"%d" % len(body)))
    if _from_page(scope) and _own_path(scope).startswith(_API):
        headers.append(_ANY_ORIGIN)
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    sent = b"" if scope["method"] == "HEAD" else body
    await send({"type": "http.response.body", "body": sent})


def _from_page(scope: Scope) -> bool:
    """Whether a browser asks on behalf of a page."""
    return b"origin" in [name for name, _ in scope["headers"]]


async def _send_stream(
    send: Send, stream: Stream, *, receive: Receive, stopping: asyncio.Event
) -> None:
    """Ends with the stream itself, when its reader is gone, or when the server stops."""
    headers = [*_STREAMED, _NOSNIFF]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    ends: list[asyncio.Task[object]] = [
        asyncio.create_task(_send_chunks(send, stream)),
        asyncio.create_task(_gone(receive)),
        asyncio.create_task(stopping.wait()),
    ]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in ends:
            each.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
    await send({"type": "http.response.body", "body": b""})


async def _send_chunks(send: Send, stream: Stream) -> None:
    async for chunk in stream.chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _gone(receive: Receive) -> None:
    """Returns when the caller has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
