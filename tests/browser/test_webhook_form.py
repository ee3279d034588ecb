"""What only script does in the form of a webhook: the card beside it, and trying a URL."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from admin.conftest import Site
from browser.conftest import Tab, sign_up
from browser.reading import Reader

pytestmark = pytest.mark.slow


def box(reader: Reader, name: str) -> Locator:
    """The one of an event in the form."""
    return reader.page.get_by_role("checkbox", name=re.compile(rf" {name}$"))


def field_of_payload(reader: Reader, name: str) -> Locator:
    """A row of the card's table."""
    return reader.page.get_by_role("row", name=re.compile(rf"^{name}\b"))


def test_the_card_follows_what_is_chosen_and_not_what_is_unticked(tab: Tab, fresh: Site) -> None:
    sign_up(tab, fresh)
    tab.open("webhooks/-/new")
    reader = tab.reader
    box(reader, "payment_received").check()
    field_of_payload(reader, "payment_id").wait_for()
    box(reader, "customer_created").check()
    expect(field_of_payload(reader, "payment_id")).to_have_count(0)
    field_of_payload(reader, "customer_id").wait_for()
    box(reader, "payment_received").uncheck()
    reader.main.get_by_text(reader.say("Advanced"), exact=True).click()
    sent = reader.field("As this webhook gets it")
    reader.field("Payload style").select_option("legacy")
    expect(sent).to_contain_text(re.compile('"webhook_id".*"type": "customer_created"', re.DOTALL))
    reader.field("Payload style").select_option("accepted")
    expect(sent).to_have_count(0)
    expect(field_of_payload(reader, "customer_id")).to_have_count(1)


def test_a_url_is_tried_in_a_dialog_and_the_form_stays(tab: Tab, fresh: Site) -> None:
    page, reader = tab.page, tab.reader
    sign_up(tab, fresh)
    tab.open("bins")
    reader.button("Create request bin").click()
    reader.heading("Waiting for the first request").wait_for()
    catches = page.get_by_role("code").filter(has_text="/in/").inner_text()
    tab.open("webhooks/-/new")
    reader.field("URL").fill("nonsense")
    button = reader.button("Try this URL")
    button.click()
    dialog = page.get_by_role("dialog")
    problem = re.compile(re.escape(reader.say("must begin with http:// or https://")))
    expect(dialog.get_by_role("alert").first).to_have_text(problem)
    reader.link("Close", within=dialog).click()
    expect(dialog).to_have_count(0)

    reader.field("URL").fill(catches)
    box(reader, "payment_received").check()
    button.click()
    reader.button("Send it", within=dialog).click()
    reader.heading("Test event sent", within=dialog).wait_for()
    expect(dialog).to_have_count(1)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(button).to_be_focused()
    expect(button).to_be_enabled()
    expect(reader.field("URL")).to_have_value(catches)
    assert page.url.endswith("/webhooks/-/new")
