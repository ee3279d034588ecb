"""Writes the server's log: one line an event on stderr, as text or as JSON.

A line never breaks: control characters in it are escaped.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from typing_extensions import override

from stafett.cli import printing
from stafett.engine.clock import SystemClock


class TextLines(logging.Formatter):
    """`12:00:00.123 INFO stafett.dispatch attempt.recorded …`."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        text = printing.safe(record.getMessage())
        shown = (
            f"{_moment(record):%H:%M:%S}.{int(record.msecs):03} {record.levelname} {record.name}"
        )
        return f"{shown} {text}{_traceback(self, record)}"


class JsonLines(logging.Formatter):
    """One JSON object a line: at, level, logger, message, and the traceback where there is one."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        content = {
            "at": _moment(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        traceback = _traceback(self, record).strip()
        if traceback:
            content["traceback"] = traceback
        return printing.json_safe(json.dumps(content, ensure_ascii=False))


def json_line(message: str, *, level: str = "info", **more: str) -> str:
    """A line of the server's own, beside what is logged, in the same form."""
    at = SystemClock().now().isoformat(timespec="milliseconds")
    content = {"at": at, "level": level, "logger": "stafett", "message": message, **more}
    return printing.json_safe(json.dumps(content, ensure_ascii=False))


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if not record.exc_info:
        return ""
    return "\n" + printing.safe_lines(formatter.formatException(record.exc_info))


def begin(form: Literal["text", "json"]) -> None:
    """Send everything that is logged to stderr from now on, in this form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # What it says about starting and stopping, Stafett says itself.
    for name in ("uvicorn", "alembic", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
