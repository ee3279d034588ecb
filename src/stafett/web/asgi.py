"""The ASGI application: from bytes to a handler and back.

One small dispatcher for all of the API: reading, token, handler, errors. It stands bare on ASGI
because accepting a message is the hottest path there is; a framework's request object would cost
more than the rest of the work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from stafett import errors
from stafett.app import Asgi, Receive, Scope, Send, Stafett
from stafett.model import Token
from stafett.web import bins, metrics, openapi, probes
from stafett.web.calls import Call, RawHeaders, Reply, Stream
from stafett.web.errors import body_of, headers_of, status_of
from stafett.web.idempotency import Promises
from stafett.web.routes import PREFIX, ROUTES, Access, Route, Tree, is_not_offered

_log = logging.getLogger("stafett.web")

_JSON: Final = (b"content-type", b"application/json")
_NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
_CORS_METHODS: Final = b"GET, POST, PUT, PATCH, DELETE, HEAD"
_API: Final = PREFIX + "/"


def make_app(stafett: Stafett) -> Asgi:
    """The HTTP side of `stafett`."""
    return _App(stafett)


class _App:
    """See `make_app`."""

    def __init__(self, stafett: Stafett) -> None:
        self._stafett = stafett
        self._tree = Tree(ROUTES)
        self._variables = {route: _variables(route) for route in ROUTES}
        self._promises = Promises(stafett)
        self._pages = openapi.Pages(stafett)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case _:  # a WebSocket: there is nothing to talk about
                await send({"type": "websocket.close", "code": 1000})

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

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive, send)
        except errors.StafettError as error:
            answer = Reply(status_of(error), body_of(error), headers_of(error))
        except Exception:  # noqa: BLE001 - the edge of the server: the log says what went wrong
            _log.exception("event=request.crashed path=%s", scope["path"])
            answer = Reply(500, {})
        if isinstance(answer, Stream):
            await _send_stream(send, answer, stopping=self._stafett.stopping, receive=receive)
        elif answer is not None:
            await _send_reply(send, scope, answer)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Reply | Stream | None:
        """None: the answer was sent already."""
        if not self._stafett.started:
            # Mounted in somebody else's application, no lifespan event may ever come.
            await self._stafett.start()
        path = _own_path(scope)
        if path.startswith(_API):
            return await self._api(path, scope, receive)
        first, _, rest = path[1:].partition("/")
        if first == "in" and rest:
            token = rest.partition("/")[0]
            await bins.catch(self._stafett, (scope, receive, send), token=token)
            return None
        return await self._page(path.rstrip("/") or "/", scope)

    async def _page(self, path: str, scope: Scope) -> Reply:
        if scope["method"] not in {"GET", "HEAD"}:
            raise _unknown(path)
        match path:
            case "/health":
                return probes.health()
            case "/ready":
                return probes.ready(self._stafett)
            case "/metrics":
                body = await metrics.text(self._stafett)
                return _bytes(body, metrics.CONTENT_TYPE)
            case "/openapi.json":
                return _bytes(await self._pages.document(), "application/json")
            case "/docs":
                return Reply(200, await self._pages.reading(), self._pages.reading_headers())
            case _:
                raise _unknown(path)

    async def _api(self, path: str, scope: Scope, receive: Receive) -> Reply | Stream:
        found = self._tree.find(path[len(_API) :])
        if found is None:
            if is_not_offered(path[len(_API) :].rstrip("/").split("/")):
                message = f"{path} is part of the format, but Stafett does not offer it (yet)"
                raise errors.NotImplementedHere(message)
            raise _unknown(path)
        routes, values = found
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        route = routes.get(method)
        if route is None:
            return _other_method(scope, routes)
        body = await _read(scope, receive, limit=route.max_body)
        params = dict(zip(self._variables[route], values, strict=True))
        call = Call(self._stafett, scope, body=body, params=params)
        if route.access is not Access.OPEN:
            call.token = await self._authenticated(call)
            await self._authorize(call, route)
        if method == "POST" and not route.own_idempotency:
            return await self._promises.keep(call, route.handler)
        return await route.handler(call)

    async def _authenticated(self, call: Call) -> Token:
        header = call.header(b"authorization")
        if header is None:
            message = "send a token: `authorization: Bearer …` (stafett token create makes one)"
            raise errors.Unauthenticated(message)
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer" or not text:
            message = "the authorization header must be `Bearer` and a token"
            raise errors.Unauthenticated(message)
        return await self._stafett.tokens.authenticate(text.strip())

    async def _authorize(self, call: Call, route: Route) -> None:
        """An application's token: its own application, and there not everything.

        Another application answers as one that does not exist. Errors: NotFound, Forbidden.
        """
        token = call.token
        if token is None or token.app_id is None or route.access is Access.ANY:
            return
        if call.app:
            application = await self._stafett.applications.get(call.app)
            if application.id != token.app_id:
                message = f"there is no application with the id or uid {call.app!r}"
                raise errors.NotFound(message)
        if route.access is Access.OWNER:
            message = "this needs an owner token; this one is for a single application"
            raise errors.Forbidden(message)


def _variables(route: Route) -> list[str]:
    return [each[1:-1] for each in route.path.split("/") if each.startswith("{")]


def _own_path(scope: Scope) -> str:
    """The path without the prefix that another application mounted us under."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) or "/" if root and path.startswith(root) else path


async def _read(scope: Scope, receive: Receive, *, limit: int) -> bytes:
    """The whole body. Errors: PayloadTooLarge (before it is read, where its length is told)."""
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > limit:
            raise _too_large(limit)
    event = await receive()
    body: bytes = event.get("body", b"")
    while event.get("more_body", False):
        event = await receive()
        if event["type"] == "http.disconnect":
            message = "the request ended before its body did"
            raise errors.BadRequest(message)
        body += event.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> errors.PayloadTooLarge:
    return errors.PayloadTooLarge(f"a request body may have at most {limit:,} bytes here")


def _unknown(path: str) -> errors.NotFound:
    return errors.NotFound(f"there is nothing at {path}; /docs lists what there is")


def _other_method(scope: Scope, routes: Mapping[str, Route]) -> Reply:
    allowed = ", ".join(sorted(routes)).encode()
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


async def _send_reply(send: Send, scope: Scope, reply: Reply) -> None:
    body = reply.content if isinstance(reply.content, bytes) else reply.body()
    headers = [*reply.headers, _NOSNIFF]
    if not isinstance(reply.content, bytes) and body:
        headers.append(_JSON)
    if reply.status != 204:
        headers.append((b"content-length", b"%d" % len(body)))
    if b"origin" in dict(scope["headers"]):
        headers.append((b"access-control-allow-origin", b"*"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    sent = b"" if scope["method"] == "HEAD" else body
    await send({"type": "http.response.body", "body": sent})


async def _send_stream(
    send: Send, stream: Stream, *, receive: Receive, stopping: asyncio.Event
) -> None:
    """Ends with the stream itself, when its reader is gone, or when the server stops."""
    headers: RawHeaders = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
        _NOSNIFF,
    ]
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
