"""A payload as a tree and as text: nothing lost, nothing without end."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stafett import errors
from stafett.web.admin import captures, payloads
from stafett.web.admin.payloads import Node


def leaves(node: Node) -> list[tuple[str, str]]:
    if not node.nodes:
        return [(node.name, node.value)]
    return [leaf for each in node.nodes for leaf in leaves(each)]


def planted(text: str, *sensitive: str) -> Node:
    node = payloads.tree(text.encode(), sensitive=sensitive)
    assert node is not None
    return node


def test_numbers_names_and_order_stay_as_they_were_written() -> None:
    text = '{"b": 1.50, "a": 12345678901234567890.10, "b": 1e400, "t": "x", "n": null, "l": [true]}'
    assert leaves(planted(text)) == [
        ("b", "1.50"),
        ("a", "12345678901234567890.10"),
        ("b", "1e400"),
        ("t", '"x"'),
        ("n", "null"),
        ("0", "true"),
    ]


def test_what_is_empty_is_a_value() -> None:
    assert leaves(planted('{"a": {}, "b": []}')) == [("a", "{}"), ("b", "[]")]


@pytest.mark.parametrize(
    ("sensitive", "marked"),
    [
        (("email",), ["email"]),
        (("customer.email",), ["email"]),
        (("customer",), ["customer", "email"]),
    ],
)
def test_sensitive_fields_are_marked(sensitive: tuple[str, ...], marked: list[str]) -> None:
    root = planted('{"customer": {"email": "a@b.c"}, "id": 1}', *sensitive)
    nodes = [*root.nodes, *root.nodes[0].nodes]
    assert [each.name for each in nodes if each.sensitive] == marked
    assert not root.sensitive


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff{}", b'"text"', b"1", b"{}", b"[" * 100_000, b'{"a": NaN}']
)
def test_what_is_no_tree_has_none(body: bytes) -> None:
    assert payloads.tree(body) is None


def test_a_large_payload_has_no_tree() -> None:
    assert payloads.tree(b'{"a": "' + b"x" * 300_000 + b'"}') is None


def test_many_fields_end_somewhere_and_say_so() -> None:
    root = planted(json.dumps({"many": list(range(9_000)), "after": 1}))
    many = root.nodes[0]
    assert len(many.nodes) + many.left_out == many.size == 9_000
    assert len(leaves(root)) < payloads.MAX_NODES
    assert root.left_out == 1


def test_deep_down_a_value_is_json() -> None:
    node = planted('{"a":' * 40 + '{"x": [1, true]}' + "}" * 40)
    depth = 0
    while node.nodes:
        node, depth = node.nodes[0], depth + 1
    assert depth == payloads.MAX_DEPTH
    assert node.value.endswith('{"x": [1, true]}' + "}" * (40 - depth))


def test_a_long_value_is_cut() -> None:
    [leaf] = leaves(planted(json.dumps({"a": "x" * 9_000})))
    assert leaf[1] == '"' + "x" * (payloads.MAX_VALUE - 1) + " …"


@given(st.recursive(st.integers() | st.text(), lambda each: st.lists(each, min_size=1)))
def test_a_tree_has_every_plain_value(value: object) -> None:
    def flat(of: object) -> list[object]:
        return [leaf for each in of for leaf in flat(each)] if isinstance(of, list) else [of]

    shown = [json.loads(text) for _, text in leaves(planted(json.dumps([value])))]
    assert flat(shown) == flat(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1, column 1"),
        ('{"a": 1', "line 1, column 8"),
        ("[1]", "must be a JSON object"),
        ('{"a": NaN}', "NaN is no number in JSON"),
        ('{"a": -Infinity}', "-Infinity is no number in JSON"),
        ('{"a": ' * 100_000, "nested too deep"),
    ],
)
def test_what_is_no_object_is_told_at_the_payload(text: str, said: str) -> None:
    with pytest.raises(errors.Invalid, match=said) as told:
        payloads.object_of(text)
    assert [each.loc for each in told.value.problems] == [("body", "payload")]


@pytest.mark.parametrize("text", ['{"a":  1.50}', '{"n": ' + "9" * 6_000 + "}"])
def test_an_object_is_taken_byte_for_byte(text: str) -> None:
    assert payloads.object_of(text) == text.encode()


def test_a_body_is_readable_up_to_a_limit() -> None:
    assert payloads.readable(b'{"a":1}') == payloads.Text('{\n  "a": 1\n}', cut=False)
    assert payloads.readable(b'{"a":1}', limit=3) == payloads.Text('{"a', cut=True)
    assert payloads.readable("ab\u202e".encode()) == payloads.Text("ab\\u202e", cut=False)
    whole = b"x" * captures.TEXT_BYTES
    assert payloads.raw(whole) == payloads.Text(whole.decode(), cut=False)
    assert payloads.raw(whole + b"y") == payloads.Text(whole.decode(), cut=True)


@pytest.mark.parametrize(
    "body", [b'{"a":' * 40_000, b"[" + b"0," * 100_000 + b"0]", b'"' * 250_000]
)
def test_nothing_takes_long(body: bytes) -> None:
    began = time.perf_counter()
    payloads.tree(body)
    payloads.readable(body)
    assert time.perf_counter() - began < 5
