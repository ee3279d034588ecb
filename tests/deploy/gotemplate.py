"""Renders the chart's templates without Helm: as much of Go's templates as the chart uses, no more.

What it does not know it refuses, so that it never renders something else than Helm would. Where
there is a `helm`, the tests hold both against each other (`test_helm.py`).
"""

# A template's functions take whatever YAML has, and are a line each.
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

# A value of a template is whatever YAML has: dictionaries, lists, texts, numbers, nothing.
Value = Any


class Refused(Exception):
    """What a template itself refuses, or what this renderer does not know."""


# --- reading ----------------------------------------------------------------------------------

_ACTION = re.compile(r"(\s*)\{\{(-)?\s*(/\*.*?\*/|.*?)\s*(-)?\}\}", re.DOTALL)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+|\$?[\w.]+|\$|:=|[|(),]|\S')


@dataclass
class Node:
    """Text, an action, or a block with what stands in it."""

    kind: str
    text: str = ""
    body: list[Node] = field(default_factory=list["Node"])
    other: list[Node] = field(default_factory=list["Node"])


def parse(source: str) -> list[Node]:
    """Errors: Refused for a block that does not end."""
    reader = _Reader(_pieces(source))
    nodes = reader.block()
    if reader.at < len(reader.pieces):
        raise Refused(f"{reader.pieces[reader.at][1]} ends nothing")
    return nodes


def _pieces(source: str) -> list[tuple[str, str]]:
    """("text" | "action", content), white space trimmed where an action says so."""
    pieces: list[tuple[str, str]] = []
    at, trim = 0, False
    for found in _ACTION.finditer(source):
        space, left, content, right = found.groups()
        text = source[at : found.start()] + ("" if left else space)
        pieces.append(("text", text.lstrip() if trim else text))
        if not content.startswith("/*"):
            pieces.append(("action", content))
        at, trim = found.end(), bool(right)
    rest = source[at:]
    pieces.append(("text", rest.lstrip() if trim else rest))
    return pieces


@dataclass
class _Reader:
    pieces: list[tuple[str, str]]
    at: int = 0

    def block(self) -> list[Node]:
        """Nodes up to an `else`, an `end` or the end of the file."""
        nodes: list[Node] = []
        while self.at < len(self.pieces):
            kind, content = self.pieces[self.at]
            if kind == "text":
                nodes.append(Node("text", content))
                self.at += 1
                continue
            word, _, rest = content.partition(" ")
            if word in {"else", "end"}:
                break
            self.at += 1
            nodes.append(self._opened(word, rest) if word in _BLOCKS else Node("action", content))
        return nodes

    def _opened(self, word: str, rest: str) -> Node:
        node = Node(word, rest, self.block())
        if self.at >= len(self.pieces):
            raise Refused(f"{word} {rest} has no end")
        _, content = self.pieces[self.at]
        self.at += 1
        if content.startswith("else"):
            inner = content.removeprefix("else").strip()
            if inner:
                node.other = [self._opened(*inner.split(" ", 1))]
                return node
            node.other = self.block()
            self.at += 1
        return node


_BLOCKS = {"if", "with", "range", "define"}


# --- rendering --------------------------------------------------------------------------------


class Renderer:
    """The templates of one chart, with what they share."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._files = {name: parse(source) for name, source in sources.items()}
        self._defined = {
            str(json.loads(node.text)): node.body
            for nodes in self._files.values()
            for node in nodes
            if node.kind == "define"
        }

    def render(self, name: str, root: dict[str, Value]) -> str:
        """One file. Errors: Refused."""
        return self._text(self._files[name], _Scope(root, {"$": root}))

    def _text(self, nodes: list[Node], scope: _Scope) -> str:
        return "".join(self._one(node, scope) for node in nodes)

    def _one(self, node: Node, scope: _Scope) -> str:
        match node.kind:
            case "text":
                return node.text
            case "define":
                return ""
            case "action":
                return _shown(self._value(node.text, scope))
            case "range":
                return self._range(node, scope)
            case kind:
                value = self._value(node.text, scope)
                if not value:
                    return self._text(node.other, scope)
                inside = _Scope(value, scope.names) if kind == "with" else scope
                return self._text(node.body, inside)

    def _range(self, node: Node, scope: _Scope) -> str:
        found = re.fullmatch(r"(?:(\$\w+), (\$\w+) := )?(.+)", node.text)
        assert found is not None
        key, name, expression = found.groups()
        values = self._value(expression, scope) or {}
        pairs: list[tuple[Value, Value]]
        match values:
            case dict():
                pairs = sorted(cast("dict[str, Value]", values).items())
            case list():
                pairs = list(enumerate(cast("list[Value]", values)))
            case _:
                raise Refused(f"range {node.text}")
        return "".join(
            self._text(
                node.body, _Scope(each, {**scope.names, **({key: at, name: each} if key else {})})
            )
            for at, each in pairs
        )

    def _value(self, expression: str, scope: _Scope) -> Value:
        tokens = _TOKEN.findall(expression)
        value = self._pipeline(tokens, scope)
        if tokens:
            raise Refused(f"{tokens} in {expression}")
        return value

    def _pipeline(self, tokens: list[str], scope: _Scope) -> Value:
        value = self._call(tokens, scope, piped=[])
        while tokens and tokens[0] == "|":
            del tokens[0]
            value = self._call(tokens, scope, piped=[value])
        return value

    def _call(self, tokens: list[str], scope: _Scope, *, piped: list[Value]) -> Value:
        first = tokens[0]
        if not re.fullmatch(r"[a-zA-Z]\w*", first):
            return self._operand(tokens, scope)
        del tokens[0]
        arguments: list[Value] = []
        while tokens and tokens[0] not in {"|", ")"}:
            arguments.append(self._operand(tokens, scope))
        if first == "include":
            name, inner = arguments
            return self._text(self._defined[name], _Scope(inner, {"$": inner}))
        if first not in _FUNCTIONS:
            raise Refused(f"the function {first} is not known here")
        return _FUNCTIONS[first](*arguments, *piped)

    def _operand(self, tokens: list[str], scope: _Scope) -> Value:
        token = tokens.pop(0)
        if token == "(":
            value = self._pipeline(tokens, scope)
            if tokens.pop(0) != ")":
                raise Refused("a bracket that does not close")
            return value
        if token.startswith('"') or re.fullmatch(r"-?\d+", token):
            return json.loads(token)
        if token.startswith((".", "$")):
            return scope.lookup(token)
        raise Refused(f"{token} is not known here")


@dataclass(frozen=True)
class _Scope:
    """What the dot means, and the names with a dollar."""

    dot: Value
    names: Mapping[str, Value]

    def lookup(self, token: str) -> Value:
        start, *path = token.split(".")
        value = self.names[start] if start else self.dot
        for name in filter(None, path):
            value = None if value is None else value.get(name)
        return value


# --- functions --------------------------------------------------------------------------------


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _required(message: str, value: Value) -> Value:
    if value in (None, ""):
        raise Refused(message)
    return value


def _nindent(width: int, text: str) -> str:
    pad = " " * width
    return "\n" + "\n".join(pad + line if line else "" for line in text.split("\n"))


def _dict(*pairs: Value) -> dict[str, Value]:
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


_FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "contains": lambda part, text: part in text,
    "default": lambda other, value: value or other,
    "dict": _dict,
    "hasKey": lambda values, name: name in values,
    "int64": int,
    "nindent": _nindent,
    "not": lambda value: not value,
    "printf": lambda pattern, *values: pattern % values,
    "quote": lambda value: json.dumps(_shown(value), ensure_ascii=False),
    "required": _required,
    "toYaml": lambda value: yaml.safe_dump(value, default_flow_style=False).rstrip("\n"),
    "trimSuffix": lambda suffix, text: text.removesuffix(suffix),
    "trunc": lambda length, text: text[:length],
}
