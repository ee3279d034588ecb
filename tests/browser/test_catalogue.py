"""The public catalogue and the import, in a real browser: copying, no script, axe, the policy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from admin.conftest import Site, start, stop
from browser.conftest import Tab, sign_up, watch
from browser.test_axe import findings, looked_at, nothing_in

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("catalogue") / "data"
    process, made = start(folder, STAFETT_PUBLIC_CATALOG="on")
    yield made
    stop(process)


@pytest.fixture(params=["en-GB", "nb-NO"])
def page(browser: Browser, site: Site, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A stranger's, which breaks no policy and asks nobody else."""
    context = browser.new_context(locale=request.param, reduced_motion="reduce")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened = context.new_page()
    tab = Tab(opened, site.url)
    watch(tab)
    yield opened
    context.close()
    assert tab.odd == []


@pytest.mark.parametrize("page", ["nb-NO"], indirect=True)  # it takes a minute
def test_axe_finds_nothing_in_the_catalogue(page: Page, site: Site) -> None:
    nothing_in(findings(page, f"{site.url}/catalog"))


def test_a_sample_is_copied(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/catalog#event-payment_received")
    event = page.locator("article", has=page.locator("#event-payment_received"))
    event.locator(".code-box button").click()
    expect(page.locator("#announce")).not_to_be_empty()
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied["payment_id"] == 412


def test_without_script_it_is_all_there_and_speaks_the_other_language(
    browser: Browser, site: Site
) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en-GB")
    opened = context.new_page()
    opened.goto(f"{site.url}/catalog")
    assert opened.get_by_role("heading", name="Payment Received").is_visible()
    assert opened.locator("button:visible").count() == 0
    opened.get_by_role("link", name="Norsk bokmål").click()
    assert opened.get_by_role("heading", name="Hendelsestyper").is_visible()
    context.close()


def test_a_file_is_imported_after_a_look(browser: Browser, site: Site, tmp_path: Path) -> None:
    document = {
        "openapi": "3.1.0",
        "webhooks": {
            "refund_issued": {"post": {"summary": "Money Back"}},
            "brand.new": {"post": {"summary": "Brand new", "description": "Nobody knew it."}},
        },
    }
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    context = browser.new_context(locale="en-GB", reduced_motion="reduce")
    tab = Tab(context.new_page(), site.url)
    watch(tab)
    sign_up(tab, site)
    tab.open("event-types")
    tab.page.get_by_role("link", name="Import").click()
    tab.page.get_by_role("button", name="Show what would change").click()
    tab.page.get_by_role("alert").wait_for()
    nothing_in(looked_at(tab.page))
    tab.page.get_by_label("File").set_input_files(file)
    tab.page.get_by_role("button", name="Show what would change").click()
    tab.see("Refund Issued → Money Back")
    nothing_in(looked_at(tab.page))
    tab.page.get_by_role("button", name="Import", exact=True).click()
    tab.see("Event types imported.")
    tab.see("Brand new")
    context.close()
    assert tab.odd == []
