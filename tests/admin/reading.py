"""Reads pages as a browser does: elements with their attributes, inside each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

from typing_extensions import override

_VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})


@dataclass(eq=False)
class Element:
    """One, with all that is in it."""

    tag: str
    attributes: dict[str, str]
    within: Element | None
    inside: list[Element] = field(default_factory=list["Element"])
    text: str = ""
    """Its own and that of what is in it."""

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    def has(self, name: str) -> bool:
        return name in self.attributes

    def walk(self) -> list[Element]:
        """It, and all that is in it."""
        return [self, *(each for child in self.inside for each in child.walk())]

    def all(self, tag: str = "", **attributes: str) -> list[Element]:
        """What is in it of that kind, an attribute with exactly that value."""
        return [
            each
            for each in self.walk()
            if tag in {"", each.tag} and attributes.items() <= each.attributes.items()
        ]

    def one(self, tag: str = "", **attributes: str) -> Element:
        [found] = self.all(tag, **attributes)
        return found

    @property
    def above(self) -> list[Element]:
        """It and all it is in, the innermost first."""
        return [self, *(self.within.above if self.within else [])]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = self.at = Element("", {}, None)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.inside.append(made)
        if tag not in _VOID:
            self.at = made

    @override
    def handle_endtag(self, tag: str) -> None:
        ended = next((each for each in self.at.above if each.tag == tag), None)
        if ended is not None and ended.within is not None:
            self.at = ended.within

    @override
    def handle_data(self, data: str) -> None:
        for each in self.at.above:
            each.text += data


def read(html: str) -> Element:
    parser = _Parser()
    parser.feed(html)
    parser.close()
    return parser.root
