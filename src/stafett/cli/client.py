"""Talks HTTP to the running server: finds it, asks it, and says in one sentence what went wrong.

A token is never printed and goes only to the server it was found for. Built on the standard
library's own client, so that a verb starts in a moment.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote, urlencode, urlsplit

import click

from stafett import errors, settings
from stafett.cli import printing
from stafett.model import Json, Secret

FOUND_IN: Final = "server.json"
"""The file in the data folder in which a server says where it is."""
_TIMEOUT_SECONDS: Final = 120.0
"""Longer than any attempt may take by default: `webhook test` waits for the verdict."""
_NO_TEXT: Final = "backslashreplace"
_SILENCE_SECONDS: Final = 40.0
"""A stream that sends not even its heartbeat (every 15 s) for so long is dead."""


class Failure(click.ClickException):
    """Refused or failed: one sentence for the person at the terminal."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(printing.safe(message))


class NotThere(Failure):
    """The server knows no such thing."""


class NoToken(Failure):
    """No valid token, or one that may not do this."""

    exit_code = 3


class NoServer(Failure):
    """Nobody answers."""

    exit_code = 4


class DeliveryFailed(Failure):
    """The request arrived here; the event did not arrive there."""

    exit_code = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server and how it is allowed to be asked."""

    url: str
    token: Secret
    found: str
    """How it was found, for messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, read in full."""

    body: bytes

    @property
    def json(self) -> Json:
        """The body, decoded; None where there is none."""
        return json.loads(self.body) if self.body else None


def find(data: Path | None = None) -> Server:
    """The server to talk to: STAFETT_URL and STAFETT_TOKEN, else the data folder's own.

    A folder that was named (`data`) is meant, whatever is set: nobody who types `--data` wants
    another server's webhook deleted. Errors: InvalidSettings; Failure where there is no server or
    no token.
    """
    chosen = settings.load({"data": data}, os.environ, Path.cwd()).settings
    if chosen.url is None or data is not None:
        local = read_found(chosen.data)
        token = Secret(local["token"])
        return Server(
            url=local["url"],
            token=token if data is not None else _usable(chosen.token or token),
            found=f"found in {chosen.data / FOUND_IN}",
        )
    token = chosen.token or chosen.bootstrap_token
    if token is None:
        message = "STAFETT_URL is set, but no token: set STAFETT_TOKEN too"
        raise NoToken(message)
    return Server(url=_address(chosen.url), token=_usable(token), found="from STAFETT_URL")


def _address(url: str) -> str:
    """Errors: InvalidSettings. What is in it is not repeated: it may hold a password."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        good = host and parts.username is None and parts.port != 0
    except ValueError:
        good = False
    if not good:
        message = "STAFETT_URL must be http(s)://HOST[:PORT]; the token belongs in STAFETT_TOKEN"
        raise errors.InvalidSettings(message)
    return url


def _usable(token: Secret) -> Secret:
    """Errors: NoToken for what no header may hold."""
    text = token.reveal()
    if not (text.isascii() and text.isprintable()):
        message = "STAFETT_TOKEN has characters that no token has"
        raise NoToken(message)
    return token


def read_found(data: Path) -> Mapping[str, Any]:
    """What a server wrote into its data folder: url, token and pid. Errors: Failure."""
    path = data / FOUND_IN
    try:
        found = json.loads(path.read_bytes())
        if not all(isinstance(found[name], str) for name in ("url", "token")):
            raise TypeError("not a text")
    except (FileNotFoundError, NotADirectoryError):
        message = (
            f"no server is running on the data folder {data}; start one with `stafett serve`,"
            " name its folder (--data or STAFETT_DATA), or set STAFETT_URL and STAFETT_TOKEN"
        )
        raise NoServer(message) from None
    except PermissionError:
        message = f"{path} belongs to another user; set STAFETT_URL and STAFETT_TOKEN"
        raise NoToken(message) from None
    except (ValueError, KeyError, TypeError) as error:
        message = f"{path} cannot be read ({error}); start the server again"
        raise NoServer(message) from None
    return cast("Mapping[str, Any]", found)


def path_of(*parts: str) -> str:
    """A path of the API; each part is escaped whole, and bytes that are no text, as `\\udc…`."""
    return "/api/v1/" + "/".join(quote(part, safe="", errors=_NO_TEXT) for part in parts)


class Client:
    """One server. Each call is a request of its own; nothing is kept open."""

    def __init__(self, server: Server, *, data: Path | None = None) -> None:
        self.server = server
        self._data = data

    def find_again(self) -> None:
        """Look anew where the server is: one that was started again has another token.

        Errors: Failure.
        """
        self.server = find(self._data)

    def get(self, path: str, **query: str | int | bool | None) -> Answer:
        """Errors: Failure; NotThere for 404."""
        return self.call("GET", path, query=query)

    def post(self, path: str, content: Json) -> Answer:
        """Errors: Failure; NotThere for 404."""
        return self.call("POST", path, body=json.dumps(content).encode())

    def put(self, path: str, content: Json = None) -> Answer:
        """Without a body where there is nothing to say. Errors: Failure; NotThere for 404."""
        body = None if content is None else json.dumps(content).encode()
        return self.call("PUT", path, body=body)

    def patch(self, path: str, content: Json) -> Answer:
        """Errors: Failure; NotThere for 404."""
        return self.call("PATCH", path, body=json.dumps(content).encode())

    def delete(self, path: str, **query: str | int | bool | None) -> Answer:
        """Errors: Failure; NotThere for 404."""
        return self.call("DELETE", path, query=query)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        query: Mapping[str, str | int | bool | None] | None = None,
    ) -> Answer:
        """One request. Errors: Failure; NotThere for 404."""
        connection = self._connection()
        try:
            response = self._asked(connection, method, _with(path, query or {}), body=body)
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()
        if response.status >= 300:
            raise _refusal(response.status, content, self.server)
        if content:
            self._must_be("application/json", response)
        return Answer(body=content)

    def every(self, path: str, **query: str | int | bool | None) -> Iterator[dict[str, Json]]:
        """Every item of a list, page after page. Errors: Failure."""
        iterator: str | None = None
        while True:
            page = self.get(path, limit=250, iterator=iterator, **query).json
            yield from page["data"]
            iterator = page["iterator"]
            if page["done"] or iterator is None:
                return

    def lines(self, path: str, *, last_event_id: str) -> Iterator[str]:
        """The lines of a server-sent event stream, as they come. Errors: Failure; OSError."""
        connection = self._connection(_SILENCE_SECONDS)
        headers = {"accept": "text/event-stream", "last-event-id": last_event_id}
        try:
            response = self._asked(connection, "GET", path, headers=headers)
            if response.status != 200:
                raise _refusal(response.status, response.read(), self.server)
            self._must_be("text/event-stream", response)
            while raw := response.readline():
                yield raw.decode(errors="replace").rstrip("\r\n")
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def _asked(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        sent = {"authorization": f"Bearer {self.server.token.reveal()}", **(headers or {})}
        if body is not None:
            sent["content-type"] = "application/json"
        prefix = urlsplit(self.server.url).path.rstrip("/")
        connection.request(method, prefix + path, body=body, headers=sent)
        return connection.getresponse()

    def _connection(self, timeout: float = _TIMEOUT_SECONDS) -> http.client.HTTPConnection:
        parts = urlsplit(self.server.url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            return http.client.HTTPSConnection(host, parts.port, timeout=timeout)
        return http.client.HTTPConnection(host, parts.port, timeout=timeout)

    def _must_be(self, media_type: str, response: http.client.HTTPResponse) -> None:
        if response.headers.get_content_type() != media_type:
            message = f"what answers at {self.server.url} ({self.server.found}) is not Stafett"
            raise NoServer(message)

    def _unreachable(self, error: Exception) -> Failure:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        message = f"no answer from {self.server.url} ({self.server.found}): {reason}"
        return NoServer(message)


def _with(path: str, query: Mapping[str, str | int | bool | None]) -> str:
    given = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in query.items()
        if value is not None
    }
    return f"{path}?{urlencode(given, errors=_NO_TEXT)}" if given else path


def _refusal(status: int, body: bytes, server: Server) -> Failure:
    """What the server's error means at a terminal."""
    detail = _detail(body) or f"the server answered {status}"
    if status == 404:
        return NotThere(detail)
    if status in {401, 403}:
        message = f"{detail} (the server {server.url}, {server.found})"
        return NoToken(message)
    return Failure(detail)


def _detail(body: bytes) -> str:
    """The sentence in an error of the API; for wrong input, the fields and what is wrong."""
    try:
        detail = json.loads(body)["detail"]
        if isinstance(detail, str):
            return detail
        return "; ".join(f"{_field(each['loc'])}: {each['msg']}" for each in detail)
    except (ValueError, KeyError, TypeError):
        return ""


def _field(loc: list[str | int]) -> str:
    return ".".join(str(each) for each in loc[1:]) or str(loc[0])


# --- finding by id, uid or name ---------------------------------------------------------------


def resolve(client: Client, path: str, ref: str, *, kind: str) -> dict[str, Json]:
    """The one thing in the list at `path` that has this id, uid or name. Errors: Failure."""
    named: list[dict[str, Json]] = []
    for each in client.every(path):
        if ref in {each["id"], each.get("uid")}:
            return each
        live = each.get("revokedAt") is None
        if live and str(each.get("name", "")).casefold() == ref.casefold():
            named.append(each)
    if not named:
        message = f"there is no {kind} with the id, uid or name {ref!r}"
        raise NotThere(message)
    if len(named) > 1:
        ids = ", ".join(str(each["id"]) for each in named)
        message = f"{len(named)} {kind}s are named {ref!r}; say which by id: {ids}"
        raise Failure(message)
    return named[0]


def parse_json(text: str, *, where: str) -> Json:
    """`text` as JSON. Errors: InvalidSettings where it is none (exit code 2)."""
    try:
        text.encode()
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        message = f"{where} is not JSON: {error}"
        raise errors.InvalidSettings(message) from None


def _no_constant(name: str) -> Json:
    """What Python's parser lets through, and the standard does not. Errors: ValueError."""
    message = f"{name} is not a value that JSON has"
    raise ValueError(message)
