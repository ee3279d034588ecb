"""What became of messages, over HTTP: attempts, destinations, and sending again."""

from __future__ import annotations

from dataclasses import asdict, replace

from stafett import errors
from stafett.model import AttemptFilter, DeliveryFilter
from stafett.web import paging
from stafett.web.api_messages import message_filter
from stafett.web.calls import Call, Reply
from stafett.web.wire.attempts import attempt_headers_out, attempt_out
from stafett.web.wire.deliveries import STATES, CanceledOut, attempted_message_out, destination_out

_CLASSES = frozenset({0, 100, 200, 300, 400, 500})
_SUCCEEDED = {"0": True, "success": True, "2": False, "fail": False, "failed": False}


def _bad(name: str, text: object) -> errors.BadRequest:
    return errors.BadRequest(f"{name} cannot be {text!r}")


def _attempt_filter(call: Call) -> AttemptFilter | None:
    """What the query says about attempts; None: nothing can match."""
    about = message_filter(call)
    status = call.one("status")
    code_class = call.number("status_code_class")
    if code_class is not None and code_class not in _CLASSES:
        raise _bad("status_code_class", code_class)
    if status is not None and status not in STATES:
        raise _bad("status", status)
    if status is not None and status not in _SUCCEEDED:
        return None  # an attempt that was made is neither pending, sending nor canceled
    return AttemptFilter(
        **asdict(about),
        succeeded=None if status is None else _SUCCEEDED[status],
        status_code_class=code_class,
    )


async def list_by_endpoint(call: Call) -> Reply:
    """The attempts made to an endpoint, newest first."""
    return await _listed(call, by_endpoint=True)


async def list_by_message(call: Call) -> Reply:
    """The attempts made for a message, newest first."""
    return await _listed(call, by_endpoint=False)


async def _listed(call: Call, *, by_endpoint: bool) -> Reply:
    asked = paging.query(call)
    where = _attempt_filter(call)
    content = call.flag("with_content", default=True)
    with_message = call.flag("with_msg", default=False)
    if where is None:
        await _check_exists(call, by_endpoint=by_endpoint)
        return Reply(200, {"data": [], "iterator": None, "done": True})
    deliveries = call.stafett.deliveries
    if by_endpoint:
        page = await deliveries.attempts_by_endpoint(
            call.app, call.params["endpoint"], asked, where=where
        )
    else:
        page = await deliveries.attempts_by_message(
            call.app, call.params["message"], asked, where=await _of_endpoint(call, where)
        )
    return Reply(
        200,
        paging.answer(
            page,
            asked,
            key=lambda each: each[0].id,
            out=lambda each: attempt_out(
                each[0], message=each[1] if with_message else None, with_content=content
            ),
        ),
    )


async def _check_exists(call: Call, *, by_endpoint: bool) -> None:
    """Errors: NotFound."""
    if by_endpoint:
        await call.stafett.endpoints.get(call.app, call.params["endpoint"])
    else:
        await call.stafett.messages.get(call.app, call.params["message"], with_payload=False)


async def _of_endpoint(call: Call, where: AttemptFilter) -> AttemptFilter:
    ref = call.one("endpoint_id") or call.params.get("endpoint")
    if ref is None:
        return where
    endpoint = await call.stafett.endpoints.get(call.app, ref)
    return replace(where, endpoint_id=endpoint.id)


async def get_attempt(call: Call) -> Reply:
    """One attempt, with its message."""
    attempt, message = await call.stafett.deliveries.attempt(
        call.app, call.params["message"], call.params["attempt"]
    )
    content = call.flag("with_content", default=True)
    return Reply(200, attempt_out(attempt, message=message, with_content=content))


async def get_attempt_headers(call: Call) -> Reply:
    """The headers of one attempt and of its answer."""
    attempt, _ = await call.stafett.deliveries.attempt(
        call.app, call.params["message"], call.params["attempt"]
    )
    return Reply(200, attempt_headers_out(attempt))


async def expunge_attempt(call: Call) -> Reply:
    """Forget what the receiver answered."""
    await call.stafett.deliveries.expunge_attempt(
        call.app, call.params["message"], call.params["attempt"]
    )
    return Reply(204)


async def list_attempted_messages(call: Call) -> Reply:
    """The messages owed to an endpoint, and where each delivery stands."""
    asked = paging.query(call)
    status = call.one("status")
    if status is not None and status not in STATES:
        raise _bad("status", status)
    where = DeliveryFilter(
        **asdict(message_filter(call)), state=None if status is None else STATES[status]
    )
    content = call.flag("with_content", default=True)
    page = await call.stafett.deliveries.attempted_messages(
        call.app, call.params["endpoint"], asked, where=where, with_payload=content
    )
    return Reply(
        200,
        paging.answer(
            page,
            asked,
            key=lambda each: each[0].id,
            out=lambda each: attempted_message_out(*each, with_content=content),
        ),
    )


async def list_destinations(call: Call) -> Reply:
    """The endpoints a message is owed to, and where each delivery stands."""
    asked = paging.query(call)
    page = await call.stafett.deliveries.destinations(call.app, call.params["message"], asked)
    return Reply(
        200,
        paging.answer(
            page,
            asked,
            key=lambda each: each[0].endpoint_id,
            out=lambda each: destination_out(*each),
        ),
    )


async def resend(call: Call) -> Reply:
    """Send a message to one endpoint again."""
    await call.stafett.deliveries.resend(call.app, call.params["message"], call.params["endpoint"])
    return Reply(202, {})


async def cancel(call: Call) -> Reply:
    """Give a waiting delivery up."""
    canceled = await call.stafett.deliveries.cancel(
        call.app, call.params["message"], call.params["endpoint"]
    )
    return Reply(200, CanceledOut(canceled=canceled))
