"""What everybody does, in a browser that runs no script: everything is a page, nothing is missing.

Script adds to pages that work without it; here is what holds that true.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from admin.conftest import Site
from browser.conftest import Tab, sign_up, watch
from browser.reading import LOCALES, Reader

pytestmark = pytest.mark.slow


@pytest.fixture(params=LOCALES)
def tab(
    browser: Browser, fresh: Site, shots: Path, request: pytest.FixtureRequest
) -> Iterator[Tab]:
    context = browser.new_context(locale=request.param, java_script_enabled=False)
    made = Tab(context.new_page(), fresh.url, locale=request.param, shots=shots)
    watch(made)
    sign_up(made, fresh)
    yield made
    context.close()
    assert made.odd == []


def test_a_webhook_is_added_tested_listed_and_deleted(tab: Tab) -> None:
    reader = tab.reader
    bin_page, catches = make_a_bin(reader)
    add_a_webhook(reader, catches)
    tab.shoot("without-script-list")
    send_a_test_event(reader)
    tab.shoot("without-script-verdict")
    emit_an_event(reader)
    reader.page.goto(bin_page)
    expect(caught(reader)).to_have_count(2)
    tab.shoot("without-script-bin")
    find_it_in_the_list(reader)
    delete_it(reader)


def make_a_bin(reader: Reader) -> tuple[str, str]:
    """Its page, and where it catches."""
    reader.go("Request bins")
    reader.button("Create request bin").click()
    reader.heading("Waiting for the first request").wait_for()
    expect(reader.button("Copy")).to_have_count(0)  # it could do nothing
    return reader.page.url, reader.page.get_by_role("code").filter(has_text="/in/").inner_text()


def caught(reader: Reader) -> Locator:
    """What the bin has in its list."""
    return reader.main.get_by_role("listitem").filter(has_text=re.compile(r"#\d+"))


def add_a_webhook(reader: Reader, catches: str) -> None:
    """First with a slip, which is answered by the same form with all that was typed."""
    reader.link("Add a webhook to it").click()
    expect(reader.field("URL")).to_have_value(catches)
    reader.field("Name").fill("x")
    event = reader.page.get_by_role("checkbox", name=re.compile(r"\bpayment_received$"))
    event.check()
    reader.button("Add New Webhook").click()
    expect(reader.field("Name")).to_have_accessible_description(
        re.compile(re.escape(reader.say("must have at least 2 characters")), re.IGNORECASE)
    )
    expect(reader.field("URL")).to_have_value(catches)
    expect(event).to_be_checked()
    reader.field("Name").fill("Mailing list")
    reader.button("Add New Webhook").click()
    expect(reader.page.get_by_role("status")).to_have_text(reader.say("Webhook added."))


def send_a_test_event(reader: Reader) -> None:
    """The verdict is a page, with the same in it."""
    reader.button("Send Test Event to {name}", name="Mailing list").click()
    reader.heading("Test event sent").wait_for()
    expect(reader.page.get_by_role("status")).to_have_text(re.compile(r"200.* \d+ ms"))
    reader.link("Open the delivery").click()
    reader.heading("Attempts").wait_for()
    body = reader.field("Payload").inner_text()
    assert json.loads(body)["payment_id"] == 412


def emit_an_event(reader: Reader) -> None:
    reader.go("Events")
    reader.link("Emit event").first.click()
    reader.field("Choose an event").select_option(value="payment_received")
    reader.button("Take its sample").click()
    expect(reader.field("Payload")).to_have_value(re.compile('"payment_id": 412'))
    reader.button("Emit event").click()
    delivered = reader.page.get_by_role("row", name=f"Mailing list {reader.say('delivered')}")
    reader.see_at_last(delivered)


def find_it_in_the_list(reader: Reader) -> None:
    webhook = reader.page.get_by_role("row").filter(
        has=reader.page.get_by_role("link", name="Mailing list", exact=True)
    )
    reader.go("Webhooks")
    for text, count in (("nothing of the kind", 0), ("mailing", 1)):
        reader.field("Search").fill(text)
        reader.button("Show").click()
        expect(reader.field("Search")).to_have_value(text)
        expect(webhook).to_have_count(count)
        reader.go("Webhooks")
    expect(webhook.get_by_role("cell", name="1", exact=True)).to_have_count(1)


def delete_it(reader: Reader) -> None:
    """After a page that asks."""
    reader.button("Delete {name}", name="Mailing list").click()
    reader.heading("Delete for good?").wait_for()
    reader.button("Delete").click()
    expect(reader.page.get_by_role("status")).to_have_text(reader.say("Webhook deleted."))
    reader.heading("No webhooks yet").wait_for()
