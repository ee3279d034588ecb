"""Languages, and how bytes are written."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterator
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stafett.web.admin import render, view_test_events, visits
from stafett.web.admin.languages import chosen, language, names

_TEXT = re.compile(r"""\bt\(\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')""")
_CHOICE = re.compile(r"\bt\(\s*(\{[^}]*\})")
OTHERS = [code for code in names() if code != "en"]


def texts() -> Iterator[str]:
    """Every English text of the templates and the pages."""
    package = resources.files("stafett.web.admin")
    files = [*(package / "templates").iterdir(), *package.iterdir()]
    for file in files:
        if not file.name.endswith((".html", ".py")):
            continue
        content = file.read_text(encoding="utf-8")
        yield from (one or other for one, other in _TEXT.findall(content))
        for choice in _CHOICE.findall(content):
            yield from re.findall(r': "([^"]*)"', choice)
    yield from visits._NOTICES.values()
    yield from view_test_events._ADVICE.values()


@pytest.mark.parametrize("code", OTHERS)
def test_a_language_has_every_text_with_the_same_names_in_it(code: str) -> None:
    known = language(code)._texts
    missing = {each for each in texts() if each and each not in known}
    assert missing == set()
    for english, own in known.items():
        names = [
            sorted(
                name or "" for _, name, _, _ in string.Formatter().parse(text) if name is not None
            )
            for text in (english, own)
        ]
        assert names[0] == names[1], english


@pytest.mark.parametrize(
    ("cookie", "accepted", "code"),
    [
        ("", "", "en"),
        ("", "de, fr", "en"),
        ("", "nb-NO,nb;q=0.9,en;q=0.8", "nb"),
        ("", "nn", "nb"),
        ("", "en;q=0.4, no;q=0.5", "nb"),
        ("", "nb;q=x, en", "en"),
        ("nb", "en", "nb"),
        ("xx", "nb", "nb"),
    ],
)
def test_the_language_that_fits_best_is_chosen(cookie: str, accepted: str, code: str) -> None:
    assert chosen(cookie, accepted).code == code


def test_a_sentence_of_a_service_is_translated_with_what_stands_in_it() -> None:
    nb = language("nb")
    assert nb.said("the endpoint answered 503 Service Unavailable") == (
        "mottakeren svarte 503 Service Unavailable"
    )
    assert nb.said("nobody has translated this") == "nobody has translated this"


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (
            b'{"a":1.0,"b":[],"c":{"d":1e400}}',
            '{\n  "a": 1.0,\n  "b": [],\n  "c": {\n    "d": 1e400\n  }\n}',
        ),
        (b"[]", "[]"),
        (b"[1,[2]]", "[\n  1,\n  [\n    2\n  ]\n]"),
        (b"{", "{"),
        (b"\xff", "\\xff"),
        ("a\u202eb\x1b[0m".encode(), "a\\u202eb\\u001b[0m"),
    ],
)
def test_a_body_is_made_readable_and_nothing_in_it_is_lost(body: bytes, shown: str) -> None:
    assert render.pretty(body) == shown


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    )
)
def test_pretty_json_is_the_same_json(value: object) -> None:
    text = json.dumps(value)
    assert json.loads(render.pretty(text)) == value


@given(st.binary())
def test_no_byte_reaches_a_page_as_a_control_character(body: bytes) -> None:
    assert not re.search(
        r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e]", render.visible(body)
    )
