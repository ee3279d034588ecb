"""What services, the engine and the sender say has a translation: found in their code.

Only texts written out there are found, f-strings with what varies as `{}`.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from importlib import resources
from itertools import product

import pytest

from stafett import egress, settings
from stafett.app import Stafett
from stafett.drivers.cold.queue import canceled
from stafett.web.admin.languages import language, names

ROOMS = ("services", "engine", "drivers/sender", "drivers/cold", "web/admin", "")
OTHERS = [code for code in names() if code != "en"]
TELL = {
    **dict.fromkeys(("Problem", "SendFailed", "note"), 1),
    **dict.fromkeys(("add", "LookupFailed", "_fail", "reasons.append"), 0),
}
"""What takes a sentence, and as which of its arguments. Any error takes it first."""
NAMED = {"message", "detail", "note", "reason", "text", "wrong", "trouble", "_NO_SETUP"}
NOT_SHOWN = {
    "{}",
    "{} {}",
    "{}; {}",
    "{} h",  # what an entry of the audit log counts
    "; {}",
    "the timestamp is too {}",  # written out in two sentences
    "no whole reply within the timeout{}",
    "{}  {}  {}",  # a row of bytes, a cookie, a command
    "{}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}",
    "--data-binary @- < body.bin",
    "--data-raw {}",
    "message {}",  # keys
    "no message",
    "NAT64",  # names
    "a batch may have at most {} messages, this one has {}",  # of the API alone
    "this idempotency key was used before, for another request body",
    "a bootstrap token needs {} or more characters",  # of the settings
    "this bootstrap token is revoked or limited already; choose another",
    "{} cannot be a NAT64 prefix: its length must be 32 to 64 or 96",
}


def sentences() -> dict[str, str]:
    """Each, and where it stands."""
    readiness = ast.parse(textwrap.dedent(inspect.getsource(Stafett.readiness)))
    found = {text: f"Stafett.readiness:{line}" for line, text in in_code(readiness)}
    for room in ROOMS:
        for file in (resources.files("stafett") / room).iterdir():
            if file.name.endswith(".py") and f"{room}/{file.name}" not in NOT_READ:
                for line, text in in_code(ast.parse(file.read_text(encoding="utf-8"))):
                    found[text] = f"{room}/{file.name}:{line}"
    return found


NOT_READ = {"/settings.py", "/app.py", "/ids.py", "/errors.py", "/tracing.py", "/__init__.py"}
"""What stops a start, or is for who embeds; nobody signed in sees it."""


def in_code(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        for given in told_by(node):
            yield from ((given.lineno, text) for text in written(given))


def told_by(node: ast.AST) -> Iterable[ast.expr]:
    """The expressions that are sentences for somebody."""
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [node.value] if {getattr(each, "id", "") for each in targets} & NAMED else []
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return [v for k, v in pairs if isinstance(k, ast.Constant) and k.value == "note"]
    if not isinstance(node, ast.Call):
        return []
    named = [each.value for each in node.keywords if each.arg in NAMED]
    of = node.func
    whose = getattr(of.value, "id", "") if isinstance(of, ast.Attribute) else ""
    name = of.attr if isinstance(of, ast.Attribute) else getattr(of, "id", "")
    usual = TELL.get(name, 0 if whose == "errors" else None)
    place = TELL.get(f"{whose}.{name}", usual)
    return named if place is None else [*named, *node.args[place : place + 1]]


def written(node: ast.expr) -> list[str]:
    """The texts that an expression can be; none where it is not written out."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp():
            return written(node.body) + written(node.orelse)
        case ast.BinOp():
            return [a + b for a, b in product(written(node.left), written(node.right))]
        case ast.JoinedStr():
            parts = [
                written(each.value if isinstance(each, ast.FormattedValue) else each) or ["{}"]
                for each in node.values
            ]
            return ["".join(each) for each in product(*parts)]
        case _:
            return []


FOUND = sentences()


def test_the_sentences_are_found() -> None:
    assert len(FOUND) > 150
    for known in (
        "must begin with http:// or https://",
        "the endpoint refused the connection",
        "gave up after {} attempts: {}",
        "there is no bin {}",
        "canceled by hand",
        "the store is broken: {}",
    ):
        assert known in FOUND, known


def is_sentence(text: str) -> bool:
    return " " in text.strip() and not text.startswith((" ", "%", "SELECT", "event="))


@pytest.mark.parametrize("code", OTHERS)
def test_whatever_is_said_is_said_in_every_language(code: str) -> None:
    said = language(code).said
    missing = {
        text: place
        for text, place in FOUND.items()
        if is_sentence(text) and text not in NOT_SHOWN and said(text) == text
    }
    assert missing == {}


@pytest.mark.parametrize("code", OTHERS)
def test_what_a_setting_means_is_said_in_every_language(code: str) -> None:
    meanings = {each.description for each in settings.SPECS}
    assert {each for each in meanings if language(code).said(each) == each} == set()


@pytest.mark.parametrize("code", OTHERS)
def test_why_an_address_is_refused_is_said_in_every_language(code: str) -> None:
    said = language(code).said
    refusals = {
        egress.vet(address, policy=egress.Policy()).reason
        for address in ("10.0.0.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "::1%1", "0.0.0.1")
    }
    assert len(refusals) == 6
    assert {each for each in refusals if said(each) == each} == set()
    assert said(egress.HINT) != egress.HINT
    assert canceled(note="canceled by hand", now=None)["note"] != said("canceled by hand")
