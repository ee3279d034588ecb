"""Every page, judged by axe: in both colour schemes, on a phone and on a desk, in every state.

The pages are those of the table, so that a new one is judged without anybody thinking of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from admin.conftest import PASSWORD, Site, start, stop
from browser import filled
from stafett.web.admin.pages import PAGES

pytestmark = pytest.mark.slow

_NO_PAGES = ("/live", "/export.json", "/export.har", "/body", "/payload", "/-/card")
"""Streams, downloads, and what is only ever shown as a part of another page."""
FROM_TABLE = [e.path for e in PAGES if e.method == "GET" and not e.path.endswith(_NO_PAGES)]
STATES = [
    "webhooks/{failing}",
    "webhooks?text=no-such-webhook",
    "webhooks?app=another-shop",
    "webhooks/-/new?event=payment_received",
    "deliveries?endpoint={failing}",
    "deliveries?after=yesterday",
    "deliveries/{event}/{failing}",
    "events/{event}",
    "events?app=another-shop",
    "emit?event=payment_received",
    "bins/{empty}",
    "bins/{bin}?reply=drip",
    "bins/{bin}/compare?a={earlier}&b={capture}",
    "?app=another-shop",
    "no-such-page",
]
"""Pages that look otherwise when something is amiss, chosen or not there."""
Scheme = Literal["light", "dark"]
Rules = tuple[str, ...] | None
_OF_COLOUR: Rules = ("color-contrast", "link-in-text-block")
LOOKS: list[tuple[Scheme, int, Rules]] = [
    ("light", 1280, None),
    ("dark", 1280, _OF_COLOUR),
    ("dark", 360, None),
    ("light", 360, _OF_COLOUR),
]
"""How pages are looked at: every rule at each width, and those that colours can break twice."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    process, made = start(tmp_path_factory.mktemp("axe") / "data")
    yield made
    stop(process)


@pytest.fixture(scope="module")
def strangers_findings(browser: Browser, site: Site) -> list[str]:
    """What axe says to who is not signed in; the form of the first owner is there only before."""
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    found = findings(page, f"{site.url}/admin/setup") + findings(page, site.setup_link)
    page.get_by_label("E-mail address").fill("kari@example.com")
    page.get_by_label("Name").fill("Kari")
    page.get_by_label("Password").fill("short")
    page.get_by_role("button", name="Make the owner and sign in").click()
    page.locator("[aria-invalid]").wait_for()
    found += looked_at(page) + findings(page, f"{site.url}/admin/sign-in")
    context.close()
    return found


@pytest.fixture(scope="module")
def known(site: Site, strangers_findings: list[str]) -> dict[str, str]:
    owner = filled.first_owner(site)
    things = filled.fill(owner)
    owner.client.close()
    return things


@pytest.fixture(scope="module")
def page(browser: Browser, site: Site, known: dict[str, str]) -> Iterator[Page]:
    context = browser.new_context(reduced_motion="reduce", base_url=f"{site.url}/admin/")
    opened = context.new_page()
    opened.goto("sign-in")
    opened.get_by_label("E-mail address").fill("kari@example.com")
    opened.get_by_label("Password").fill(PASSWORD)
    opened.get_by_role("button", name="Sign in").click()
    opened.get_by_role("heading", name="Overview").wait_for()
    yield opened
    context.close()


def findings(page: Page, path: str) -> list[str]:
    page.goto(path)
    return looked_at(page)


def looked_at(page: Page) -> list[str]:
    """What axe finds on the page as it is, in each look."""
    found: list[str] = []
    for scheme, width, rules in LOOKS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        for each in judged(page, rules):
            found += [f"{scheme} {width}: {each['id']} ({each['impact']}): {each['help']}"]
            found += [f"    {node['html']}: {node['failureSummary']}" for node in each["nodes"]]
    return found


def judged(page: Page, rules: Rules) -> list[dict[str, Any]]:
    options: dict[str, Any] = {"resultTypes": ["violations"], "iframes": False}
    if rules is not None:
        options["runOnly"] = list(rules)
    return Axe().run(page, options=options).response["violations"]


def nothing_in(found: list[str]) -> None:
    assert found == [], "\n".join(found)


def test_a_stranger_can_use_the_first_form(strangers_findings: list[str]) -> None:
    nothing_in(strangers_findings)


@pytest.mark.parametrize("path", [*FROM_TABLE, *STATES])
def test_axe_finds_nothing_on(page: Page, known: dict[str, str], path: str) -> None:
    filled_in = re.sub(r"\{(\w+)\}", lambda found: known[found[1]], path)
    nothing_in(findings(page, filled_in))


ANSWERS: list[tuple[str, dict[str, str], str]] = [
    ("webhooks/-/new", {"Name": "x", "URL": "ftp://example.com"}, "Add New Webhook"),
    ("webhooks", {}, "Delete Resting"),
    ("deliveries", {}, "Send all that match again…"),
    ("bins/{empty}", {}, "Delete bin"),
    ("emit?event=payment_received", {"Payload": "{"}, "Emit event"),
    ("event-types/-/new", {"Name": "no good", "Schema": "{", "Sample": "["}, "Save event type"),
    ("settings/tokens", {"Name": "Another"}, "Create token"),
    ("settings/users", {}, "Delete Ola"),
    (
        "settings/users",
        {"E-mail address": "nobody", "Name": "Nobody", "Password": "short"},
        "Add user",
    ),
    ("settings/applications", {"Name": "Another", "uid": "no good"}, "Add application"),
    ("profile", {"Present password": "wrong", "New password": "short"}, "Change password"),
]
"""Forms, what is typed into them, and what is pressed: questions, secrets and problems follow."""


@pytest.mark.parametrize(("path", "typed", "button"), ANSWERS)
def test_axe_finds_nothing_on_what_follows(
    page: Page, known: dict[str, str], path: str, typed: dict[str, str], button: str
) -> None:
    page.goto(re.sub(r"\{(\w+)\}", lambda found: known[found[1]], path))
    page.evaluate("for (const each of document.forms) each.noValidate = true")
    for label, text in typed.items():
        page.get_by_role("main").get_by_label(label, exact=True).last.fill(text)
    with page.expect_event("framenavigated"):
        page.get_by_role("main").get_by_role("button", name=button).last.click()
    page.wait_for_load_state()
    nothing_in(looked_at(page))


@pytest.mark.parametrize("webhook", ["Mailing list", filled.LONG])
def test_the_dialog_of_a_test_event(page: Page, webhook: str) -> None:
    page.goto("webhooks")
    page.get_by_role("button", name=f"Send Test Event to {webhook}").click()
    page.get_by_role("dialog").wait_for()
    for details in page.get_by_role("dialog").locator("summary").all():
        details.click()
    nothing_in(looked_at(page))


def test_the_dialog_of_a_secret(page: Page, known: dict[str, str]) -> None:
    page.goto(f"webhooks/{known['webhook']}")
    page.get_by_role("button", name="Show secret").click()
    page.get_by_role("dialog").wait_for()
    nothing_in(looked_at(page))
