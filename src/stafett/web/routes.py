"""Every operation of the API, as data: dispatch, OpenAPI and tests read the same table."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from stafett.web import api_applications as applications
from stafett.web import api_attempts as attempts
from stafett.web import api_authentication as authentication
from stafett.web import api_bins as bins
from stafett.web import api_endpoints as endpoints
from stafett.web import api_environment as environment
from stafett.web import api_event_types as event_types
from stafett.web import api_messages as messages
from stafett.web import api_tasks as tasks
from stafett.web import api_tokens as tokens
from stafett.web import api_users as users
from stafett.web import probes
from stafett.web.calls import Handler
from stafett.web.wire.applications import ApplicationIn, ApplicationOut, ApplicationPatch
from stafett.web.wire.attempts import AttemptHeadersOut, AttemptOut
from stafett.web.wire.bins import BinIn, BinOut, ReplyIn
from stafett.web.wire.captures import CaptureOut, DeletedOut
from stafett.web.wire.deliveries import (
    AttemptedMessageOut,
    AttemptStatsOut,
    BulkReplayIn,
    CanceledOut,
    DestinationOut,
    RecoverIn,
    StatsOut,
)
from stafett.web.wire.endpoints import (
    EndpointIn,
    EndpointOut,
    EndpointPatch,
    HeadersIn,
    HeadersOut,
    HeadersPatch,
    KeyOut,
    RotateIn,
)
from stafett.web.wire.environment import EnvironmentIn, EnvironmentOut
from stafett.web.wire.event_types import EventTypeIn, EventTypeOut, EventTypePatch
from stafett.web.wire.examples import ExampleIn, TestOut
from stafett.web.wire.health import HealthOut
from stafett.web.wire.imports import OpenApiImportIn, OpenApiImportOut
from stafett.web.wire.messages import (
    BatchIn,
    BatchOut,
    ExpungeIn,
    ExpungeOut,
    MessageIn,
    MessageOut,
    PrecheckIn,
    PrecheckOut,
)
from stafett.web.wire.tasks import TaskOut
from stafett.web.wire.timelines import TimelineOut
from stafett.web.wire.tokens import ExpireIn, TokenIn, TokenOut
from stafett.web.wire.users import PasswordIn, UserIn, UserOut

PREFIX = "/api/v1"


class Access(enum.Enum):
    """Which tokens may call an operation."""

    OPEN = "open"
    """None is needed."""
    ANY = "any"
    """Every valid token."""
    APP = "app"
    """Owner tokens, and the application's own."""
    OWNER = "owner"
    """Owner tokens alone."""
    READER = "reader"
    """Owner tokens, and the read token of the bin in the path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation."""

    method: str
    path: str
    """Below the prefix; `{name}` is one segment."""
    handler: Handler
    status: int
    also: tuple[int, ...] = ()
    """Other good answers: what an upsert made, what was there when a creation asked for it."""
    access: Access = Access.APP
    body: Any = None  # a struct of `wire`
    out: Any = None  # a struct of `wire`
    query: tuple[str, ...] = ()
    max_body: int = 2 * 1024 * 1024
    """Bytes; more is refused before it is read."""
    own_idempotency: bool = False
    """It keeps its promise about idempotency keys by itself."""

    @property
    def name(self) -> str:
        """What it does, in one word of the code."""
        return self.handler.__name__

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        return (self.handler.__doc__ or "").partition("\n")[0]


_PAGE = ("limit", "iterator")
_ORDERED = (*_PAGE, "order")
_ABOUT = (*_PAGE, "event_types", "channel", "tag", "before", "after", "with_content")
_ABOUT_ATTEMPTS = (*_ABOUT, "status", "status_code_class", "with_msg")
_BATCH_BYTES = 64 * 1024 * 1024
_IMPORT_BYTES = 4 * 1024 * 1024
"""A document of 1 MiB as a JSON text, whatever in it is escaped."""

_APP = "/app/{app}"
_EP = "/app/{app}/endpoint/{endpoint}"
_MSG = "/app/{app}/msg/{message}"
_BIN = "/bin/{bin}"


@dataclass(slots=True)
class _Table:
    """Collects routes; what most of them share is said once."""

    routes: list[Route] = field(default_factory=list[Route])

    def add(self, line: str, handler: Handler, status: int, **more: Any) -> None:
        """`line` is method and path."""
        method, path = line.split(" ")
        self.routes.append(Route(method=method, path=path, handler=handler, status=status, **more))


def _table() -> tuple[Route, ...]:
    table = _Table()
    _add_basics(table)
    _add_applications(table)
    _add_endpoints(table)
    _add_event_types(table)
    _add_environment(table)
    _add_messages(table)
    _add_attempts(table)
    _add_tasks(table)
    _add_bins(table)
    return tuple(table.routes)


def _add_basics(table: _Table) -> None:
    table.add("GET /health", probes.api_health, 200, access=Access.OPEN, out=HealthOut)
    table.add("GET /health/ping", probes.ping, 204, access=Access.OPEN)
    owner = Access.OWNER
    table.add("GET /token", tokens.list_tokens, 200, access=owner, query=_PAGE, out=TokenOut)
    table.add("POST /token", tokens.create_token, 201, access=owner, body=TokenIn, out=TokenOut)
    table.add("DELETE /token/{token}", tokens.revoke_token, 204, access=owner)
    table.add("POST /auth/logout", authentication.logout, 204, access=Access.ANY)
    table.add(
        "POST /auth/app/{app}/expire-all",
        authentication.expire_all,
        204,
        access=owner,
        body=ExpireIn,
    )
    table.add("GET /user", users.list_users, 200, access=owner, query=_PAGE, out=UserOut)
    table.add("POST /user", users.create_user, 201, access=owner, body=UserIn, out=UserOut)
    table.add(
        "POST /user/{user}/password",
        users.set_password,
        200,
        access=owner,
        body=PasswordIn,
        out=UserOut,
    )
    table.add("DELETE /user/{user}", users.delete_user, 204, access=owner)


def _add_applications(table: _Table) -> None:
    add, out, owner = table.add, ApplicationOut, Access.OWNER
    add("GET /app", applications.list_applications, 200, access=owner, query=_ORDERED, out=out)
    add(
        "POST /app",
        applications.create_application,
        201,
        also=(200,),
        access=owner,
        query=("get_if_exists",),
        body=ApplicationIn,
        out=out,
    )
    add(f"GET {_APP}", applications.get_application, 200, out=out)
    add(
        f"PUT {_APP}",
        applications.put_application,
        200,
        also=(201,),
        access=owner,
        body=ApplicationIn,
        out=out,
    )
    add(
        f"PATCH {_APP}",
        applications.patch_application,
        200,
        access=owner,
        body=ApplicationPatch,
        out=out,
    )
    add(f"DELETE {_APP}", applications.delete_application, 204, access=owner)


def _add_endpoints(table: _Table) -> None:
    add, out = table.add, EndpointOut
    add(f"GET {_APP}/endpoint", endpoints.list_endpoints, 200, query=_ORDERED, out=out)
    add(f"POST {_APP}/endpoint", endpoints.create_endpoint, 201, body=EndpointIn, out=out)
    add(f"GET {_EP}", endpoints.get_endpoint, 200, out=out)
    add(f"PUT {_EP}", endpoints.put_endpoint, 200, also=(201,), body=EndpointIn, out=out)
    add(f"PATCH {_EP}", endpoints.patch_endpoint, 200, body=EndpointPatch, out=out)
    add(f"DELETE {_EP}", endpoints.delete_endpoint, 204)
    add(f"GET {_EP}/secret", endpoints.get_secret, 200, out=KeyOut)
    add(
        f"POST {_EP}/secret/rotate",
        endpoints.rotate_secret,
        200,
        body=RotateIn,
        out=KeyOut,
    )
    add(f"GET {_EP}/headers", endpoints.get_headers, 200, out=HeadersOut)
    add(f"PUT {_EP}/headers", endpoints.put_headers, 204, body=HeadersIn)
    add(f"PATCH {_EP}/headers", endpoints.patch_headers, 204, body=HeadersPatch)
    add(f"GET {_EP}/stats", endpoints.get_stats, 200, query=("since", "until"), out=StatsOut)
    attempted = f"{_EP}/attempt-stats"
    period = ("since", "until")
    add(f"GET {attempted}", endpoints.get_attempt_stats, 200, query=period, out=AttemptStatsOut)
    add(f"POST {_EP}/recover", endpoints.recover, 202, body=RecoverIn, out=TaskOut)
    missing = f"{_EP}/replay-missing"
    add(f"POST {missing}", endpoints.replay_missing, 202, body=RecoverIn, out=TaskOut)
    again = f"{_EP}/bulk-replay"
    add(f"POST {again}", endpoints.bulk_replay, 202, body=BulkReplayIn, out=TaskOut)
    owner = Access.OWNER
    add(
        f"POST {_EP}/send-example",
        endpoints.send_example,
        200,
        access=owner,
        body=ExampleIn,
        out=MessageOut,
    )
    add(f"POST {_EP}/test", endpoints.send_test, 200, body=ExampleIn, out=TestOut)


def _add_event_types(table: _Table) -> None:
    add, out, owner = table.add, EventTypeOut, Access.OWNER
    one = "/event-type/{event_type}"
    add(
        "GET /event-type",
        event_types.list_event_types,
        200,
        access=Access.ANY,
        query=(*_PAGE, "include_archived", "with_content"),
        out=out,
    )
    add(
        "POST /event-type",
        event_types.create_event_type,
        201,
        access=owner,
        body=EventTypeIn,
        out=out,
    )
    add(f"GET {one}", event_types.get_event_type, 200, access=Access.ANY, out=out)
    add(
        f"PUT {one}",
        event_types.put_event_type,
        200,
        also=(201,),
        access=owner,
        body=EventTypeIn,
        out=out,
    )
    add(
        f"PATCH {one}",
        event_types.patch_event_type,
        200,
        access=owner,
        body=EventTypePatch,
        out=out,
    )
    add(f"DELETE {one}", event_types.delete_event_type, 204, access=owner, query=("expunge",))
    add(
        "POST /event-type/import/openapi",
        event_types.import_openapi,
        200,
        access=owner,
        body=OpenApiImportIn,
        out=OpenApiImportOut,
        max_body=_IMPORT_BYTES,
    )


def _add_environment(table: _Table) -> None:
    owner = Access.OWNER
    exported, imported = "POST /environment/export", "POST /environment/import"
    table.add(exported, environment.export_environment, 200, access=owner, out=EnvironmentOut)
    table.add(
        imported,
        environment.import_environment,
        204,
        access=owner,
        body=EnvironmentIn,
        max_body=_IMPORT_BYTES,
    )


def _add_messages(table: _Table) -> None:
    add, out, owner = table.add, MessageOut, Access.OWNER
    add(f"GET {_APP}/msg", messages.list_messages, 200, query=_ABOUT, out=out)
    add(
        f"POST {_APP}/msg",
        messages.create_message,
        202,
        access=owner,
        query=("with_content",),
        body=MessageIn,
        out=out,
        own_idempotency=True,
    )
    add(
        f"POST {_APP}/msg/batch",
        messages.create_batch,
        200,
        access=owner,
        body=BatchIn,
        out=BatchOut,
        max_body=_BATCH_BYTES,
    )
    add(f"GET {_MSG}", messages.get_message, 200, query=("with_content",), out=out)
    add(f"DELETE {_MSG}/content", messages.expunge_message, 204, access=owner)
    add(
        f"POST {_APP}/msg/bulk-expunge",
        messages.expunge_messages,
        200,
        access=owner,
        body=ExpungeIn,
        out=ExpungeOut,
    )
    add(
        f"POST {_APP}/msg/precheck/active",
        messages.precheck,
        200,
        body=PrecheckIn,
        out=PrecheckOut,
    )


def _add_attempts(table: _Table) -> None:
    add, out = table.add, AttemptOut
    by_endpoint = f"{_APP}/attempt/endpoint/{{endpoint}}"
    add(f"GET {by_endpoint}", attempts.list_by_endpoint, 200, query=_ABOUT_ATTEMPTS, out=out)
    by_message = f"{_APP}/attempt/msg/{{message}}"
    more = (*_ABOUT_ATTEMPTS, "endpoint_id")
    add(f"GET {by_message}", attempts.list_by_message, 200, query=more, out=out)
    # Two older addresses of the same list.
    add(f"GET {_MSG}/attempt", attempts.list_by_message, 200, query=more, out=out)
    add(
        f"GET {_MSG}/endpoint/{{endpoint}}/attempt",
        attempts.list_by_message,
        200,
        query=_ABOUT_ATTEMPTS,
        out=out,
    )
    add(
        f"GET {_MSG}/attempt/{{attempt}}",
        attempts.get_attempt,
        200,
        query=("with_content",),
        out=out,
    )
    add(
        f"GET {_MSG}/attempt/{{attempt}}/headers",
        attempts.get_attempt_headers,
        200,
        out=AttemptHeadersOut,
    )
    add(
        f"DELETE {_MSG}/attempt/{{attempt}}/content",
        attempts.expunge_attempt,
        204,
        access=Access.OWNER,
    )
    add(
        f"GET {_EP}/msg",
        attempts.list_attempted_messages,
        200,
        query=(*_ABOUT, "status"),
        out=AttemptedMessageOut,
    )
    add(
        f"GET {_MSG}/endpoint",
        attempts.list_destinations,
        200,
        query=_PAGE,
        out=DestinationOut,
    )
    add(f"POST {_MSG}/endpoint/{{endpoint}}/resend", attempts.resend, 202)
    add(
        f"POST {_MSG}/endpoint/{{endpoint}}/cancel",
        attempts.cancel,
        200,
        out=CanceledOut,
    )


def _add_tasks(table: _Table) -> None:
    """An application's token sees the tasks of its own."""
    every, one = "GET /background-task", "GET /background-task/{task}"
    query = (*_ORDERED, "status", "task")
    table.add(every, tasks.list_tasks, 200, access=Access.ANY, query=query, out=TaskOut)
    table.add(one, tasks.get_task, 200, access=Access.ANY, out=TaskOut)


def _add_bins(table: _Table) -> None:
    def add(line: str, handler: Handler, status: int, **more: Any) -> None:
        table.add(line, handler, status, access=Access.OWNER, **more)

    def add_reading(line: str, handler: Handler, **more: Any) -> None:
        table.add(line, handler, 200, access=Access.READER, **more)

    add("GET /bin", bins.list_bins, 200, query=_ORDERED, out=BinOut)
    add("POST /bin", bins.create_bin, 201, body=BinIn, out=BinOut)
    add_reading(f"GET {_BIN}", bins.get_bin, out=BinOut)
    add(f"DELETE {_BIN}", bins.delete_bin, 204)
    add(f"PUT {_BIN}/reply", bins.put_reply, 200, body=ReplyIn, out=BinOut)
    captures = f"{_BIN}/capture"
    add_reading(f"GET {captures}", bins.list_captures, query=_ORDERED, out=CaptureOut)
    add(f"DELETE {captures}", bins.clear_bin, 200, out=DeletedOut)
    add_reading(f"GET {captures}/{{capture}}", bins.get_capture, out=CaptureOut)
    add_reading(f"GET {captures}/{{capture}}/timeline", bins.get_timeline, out=TimelineOut)
    add(f"DELETE {captures}/{{capture}}", bins.delete_capture, 204)
    add(f"PUT {captures}/{{capture}}/pin", bins.pin_capture, 204)
    add(f"DELETE {captures}/{{capture}}/pin", bins.unpin_capture, 204)
    add_reading(f"GET {_BIN}/tail", bins.tail, query=("after",))


ROUTES = _table()
