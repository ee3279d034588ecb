"""Nobody is offered what would be refused: every link and form of every page, for every role.

Generated from the table of pages, over things in the states that pages tell apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from typing_extensions import override

from admin.conftest import Person
from stafett.model import Role
from stafett.web.admin.pages import PAGES
from stafett.web.admin.visits import Page
from stafett.web.tree import Tree

ROLES = list(Role)
TREE: Tree[Page] = Tree(PAGES)
PREFIX = "/admin/"
_NO_PAGE = re.compile(r".*/(live|body|payload|export\.\w+)$")
_EMPTY = "app=nothing-here"
_ALWAYS = {"", "-/language", "sign-out"}
"""Forms that stand on every page, and the way to the start."""


@dataclass(frozen=True, order=True)
class Offer:
    """A way from a page to another, or to something that is done."""

    method: str
    path: str
    """Below the admin."""


@dataclass
class Found(HTMLParser):
    """Reads a page."""

    offers: set[Offer] = field(default_factory=set[Offer])

    def __post_init__(self) -> None:
        super().__init__()
        self._method = "GET"
        self._inert = 0

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._method = has.get("method", "get").upper()
            self._inert += "inert" in has
            self._offer(self._method, has.get("action"))
        elif tag == "a":
            self._offer("GET", has.get("href"))
        elif tag in {"button", "input"}:
            self._offer(has.get("formmethod", self._method).upper(), has.get("formaction"))
        for name, value in has.items():
            if name in {"hx-get", "hx-post", "data-hx-get", "data-hx-post"}:
                self._offer(name.rpartition("-")[2].upper(), value)

    @override
    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inert = 0

    def _offer(self, method: str, address: str | None) -> None:
        path = urlsplit(address or "").path
        if not self._inert and path.startswith(PREFIX) and "/../" not in path:
            self.offers.add(Offer(method, path.removeprefix(PREFIX).strip("/")))


def offered(html: str) -> set[Offer]:
    page = Found()
    page.feed(html)
    return page.offers


@pytest.fixture(scope="module")
def things(owner: Person) -> dict[str, list[str]]:
    """For each place that varies, things in different states."""
    bin_id, catches = owner.bin()
    empty, _ = owner.bin()
    good = owner.webhook(name="Good", url=catches)
    off = owner.webhook(name="Off")
    failed = owner.webhook(
        name="Failed", url="http://127.0.0.1:65533/", event_types="site_published"
    )
    owner.do(f"webhooks/{off}/switch", to="off")
    told = owner.send(f"webhooks/{good}/test").text
    owner.send(f"webhooks/{failed}/test", event="site_published")
    waiting = owner.emit('{"site_id": 1}', "site_published")
    owner.see_once(f"events/{waiting}", "</code>")
    owner.do("event-types/demo_site_expiring/archive")
    owner.do("settings/applications", name="Nothing here", uid="nothing-here")
    capture = re.search(r"captures/(cap_\w+)", owner.see(f"bins/{bin_id}"))
    message = re.search(r"deliveries/(msg_\w+)", told)
    assert capture is not None
    assert message is not None
    owner.do(f"bins/{bin_id}/captures/{capture[1]}/pin")
    return {
        "webhook": [good, off, failed],
        "bin": [bin_id, bin_id, empty],
        "capture": [capture[1]],
        "message": [message[1], waiting],
        "endpoint": [good, failed],
        "name": ["payment_received", "demo_site_expiring"],
    }


def paths(page: Page, things: dict[str, list[str]]) -> Iterator[str]:
    """The page's address for each state, and for an application where nothing is yet."""
    names = re.findall(r"\{(\w+)\}", page.path)
    if not names:
        yield from (page.path, f"{page.path}?{_EMPTY}")
        if page.path.endswith("/-/card"):
            yield f"{page.path}?event_types=payment_received"
        return
    for turn in range(max(len(things[each]) for each in names)):
        known = {each: things[each][min(turn, len(things[each]) - 1)] for each in names}
        yield re.sub(r"\{(\w+)\}", lambda found: known[found[1]], page.path)  # noqa: B023 - used at once


@pytest.mark.parametrize("role", ROLES)
def test_no_page_offers_what_would_be_refused(
    owner: Person,
    admin: Person,
    developer: Person,
    viewer: Person,
    things: dict[str, list[str]],
    role: Role,
) -> None:
    person = {"owner": owner, "admin": admin, "developer": developer, "viewer": viewer}[role]
    seen = 0
    refused: dict[str, set[Offer]] = {}
    for page in PAGES:
        if page.method != "GET" or _NO_PAGE.match(page.path):
            continue
        if page.role is not None and ROLES.index(role) > ROLES.index(page.role):
            continue
        for path in paths(page, things):
            answer = person.client.get(path)
            offers = offered(answer.text)
            seen += len(offers)
            bad = {each for each in offers if not _may(role, each)}
            if bad:
                refused[path] = bad
    assert refused == {}
    assert seen > 200


def _may(role: Role, offer: Offer) -> bool:
    """Whether there is such a page, and it is for the role."""
    if offer.path in _ALWAYS or offer.path.startswith("-/static/"):
        return True
    pages, _ = TREE.find(offer.path) or ({}, [])
    page = pages.get(offer.method)
    return page is not None and (page.role is None or ROLES.index(role) <= ROLES.index(page.role))


def test_what_is_offered_is_found_and_a_viewer_is_offered_less(
    owner: Person, viewer: Person, things: dict[str, list[str]]
) -> None:
    webhook = f"webhooks/{things['webhook'][0]}"
    every = offered(owner.see(webhook))
    assert Offer("POST", f"{webhook}/test") in every
    assert Offer("GET", "settings") in every
    fewer = offered(viewer.see(webhook))
    assert Offer("GET", "webhooks") in fewer
    assert not _may(Role.VIEWER, Offer("POST", webhook))
    assert not _may(Role.OWNER, Offer("GET", "no/such/page"))
    assert {each for each in fewer if each.method == "POST"} <= {
        Offer("POST", each) for each in _ALWAYS
    }
