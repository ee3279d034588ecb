"""A caught request as a command that sends the same again, whatever its bytes are. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from stafett.model import Capture
from stafett.web.admin import captures, render

_SENT_BY_CURL: Final = frozenset(
    {b"content-length", b"host", b"transfer-encoding", b"connection", b"expect"}
)
_ADDED_BY_CURL: Final = (b"accept", b"user-agent")


@dataclass(frozen=True, slots=True)
class Command:
    """A command for a POSIX shell."""

    text: str
    needs_file: bool
    """It reads the body from `body.bin`, which has to be saved first."""


def command(capture: Capture, base_url: str, *, reveal: bool) -> Command:
    """Sends the same again, whatever its bytes are; without `reveal` credentials are left out."""
    path = capture.target.partition(b"?")[0]
    options = ["--globoff"] if re.search(rb"[\[\]{}]", capture.target) else []
    if b"/." in path:
        options.append("--path-as-is")
    bare = capture.method == "HEAD" and not capture.body
    method = "--head" if bare else f"-X {shlex.quote(capture.method)}"
    address = shlex.quote(base_url + captures.in_url(capture.target))
    lines = [" ".join(["curl", method, *options, address])]
    lines += [f"-H {_word(header)}" for header in _headers_for_curl(capture, reveal=reveal)]
    needs_file = bool(capture.body) and not _fits_a_command(capture.body)
    if needs_file:
        lines.append("--data-binary @- < body.bin")
    elif capture.body:
        lines.append(f"--data-raw {shlex.quote(capture.body.decode())}")
    return Command(" \\\n  ".join(lines), needs_file)


def _headers_for_curl(capture: Capture, *, reveal: bool) -> Iterator[bytes]:
    """What was sent, and a word against what curl would add to it."""
    kept = (capture if reveal else captures.masked(capture)).headers
    names = {name.lower() for name, _ in kept}
    for name, value in kept:
        if name.lower() not in _SENT_BY_CURL:
            yield name + b": " + value if value else name + b";"
    for name in (*_ADDED_BY_CURL, *([b"content-type"] if capture.body else [])):
        if name not in names:
            yield name + b":"


def _word(text: bytes) -> str:
    """One word of a command; what is not printable ASCII comes from printf."""
    if all(0x20 <= byte < 0x7F for byte in text):
        return shlex.quote(text.decode())
    # Besides what printf and quotes read, no "!": an interactive shell looks for it in "…" too.
    escaped = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b"\\%'!" else f"\\{byte:03o}"
        for byte in text
    )
    return f"\"$(printf -- '{escaped}')\""


def _fits_a_command(body: bytes) -> bool:
    """Whether it is text of which every character survives being shown, copied and pasted."""
    if len(body) >= render.TEXT_BYTES or b"\r" in body or b"\t" in body:
        return False
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return False
    return render.visible(text) == text
