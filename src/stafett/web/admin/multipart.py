"""Forms that carry files: `multipart/form-data`, as browsers write it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Final

from stafett import errors

KIND: Final = "multipart/form-data"
_MAX_PARTS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One field, or one file."""

    name: str
    is_file: bool
    content: bytes


def parts(body: bytes, content_type: str) -> list[Part]:
    """All parts, in order. Errors: BadRequest."""
    head = Message()
    head["content-type"] = content_type
    boundary = head.get_param("boundary")
    # One with a charset of its own comes from no browser; it need not even be characters.
    if not isinstance(boundary, str) or not boundary or not boundary.isascii():
        raise _broken()
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode(), _MAX_PARTS)
    if len(pieces) < 2:
        raise _broken()
    if len(pieces) > _MAX_PARTS:
        message = f"a form may have at most {_MAX_PARTS} fields"
        raise errors.BadRequest(message)
    if not pieces[-1].startswith(b"--"):
        raise _broken()
    return list(_read(pieces[1:-1]))


def _read(pieces: list[bytes]) -> Iterator[Part]:
    for piece in pieces:
        head, between, content = piece.partition(b"\r\n\r\n")
        disposition = _disposition(head)
        name = disposition.get_param("name", header="content-disposition")
        if not between or not isinstance(name, str):
            raise _broken()
        filename = disposition.get_param("filename", header="content-disposition")
        yield Part(name=name, is_file=filename is not None, content=content)


def _disposition(head: bytes) -> Message:
    """The header that names the field."""
    found = Message()
    for line in head.decode(errors="replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            found["content-disposition"] = value.strip()
    return found


def _broken() -> errors.BadRequest:
    return errors.BadRequest("the form did not arrive whole; send it again")
