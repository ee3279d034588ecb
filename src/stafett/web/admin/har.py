"""Caught requests as an HTTP archive, for the tools that read one. Pure."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from http import HTTPStatus

import stafett
from stafett.model import Capture, Json
from stafett.web.admin import captures


def archive(caught: Sequence[Capture], base_url: str, *, complete: bool) -> Json:
    """An HTTP archive (HAR 1.2) of them, oldest first; what was answered only as its status."""
    entries: list[Json] = [_entry(each, base_url) for each in caught]
    creator: Json = {"name": "Stafett", "version": stafett.__version__}
    log: dict[str, Json] = {"version": "1.2", "creator": creator, "entries": entries}
    if not complete:
        log["comment"] = "the bin has older requests that are not in this file"
    return {"log": log}


def _entry(capture: Capture, base_url: str) -> Json:
    request: dict[str, Json] = {
        "method": capture.method,
        "url": base_url + captures.in_url(capture.target),
        "httpVersion": f"HTTP/{capture.http_version}",
        "cookies": [],
        "headers": _named(captures.headers(capture, reveal=False)),
        "queryString": _named(captures.path_and_query(capture)[1]),
        "headersSize": -1,
        "bodySize": len(capture.body),
    }
    if capture.body:
        request["postData"] = _post_data(capture)
    return {
        "startedDateTime": capture.received_at.isoformat(),
        "time": 0,
        "request": request,
        "response": _response(capture.status_code),
        "cache": {},
        "timings": {"send": 0, "wait": 0, "receive": 0},
        "comment": f"{capture.id} from {capture.peer}",
    }


def _post_data(capture: Capture) -> Json:
    """HAR has text alone; bytes are base64, and say so as browsers do."""
    kind = captures.header(capture, b"content-type")
    try:
        return {"mimeType": kind, "params": [], "text": capture.body.decode()}
    except UnicodeDecodeError:
        text = base64.b64encode(capture.body).decode()
        return {"mimeType": kind, "params": [], "text": text, "_encoding": "base64"}


def _response(status: int) -> Json:
    known = status in {each.value for each in HTTPStatus}
    return {
        "status": status,
        "statusText": HTTPStatus(status).phrase if known else "",
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": [],
        "content": {"size": 0, "mimeType": "x-unknown"},
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": -1,
    }


def _named(pairs: captures.Pairs) -> list[Json]:
    return [{"name": name, "value": value} for name, value in pairs]
