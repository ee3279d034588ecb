"""What only script does in the form of a webhook: the card beside it, and trying a URL."""

from __future__ import annotations

import pytest

from admin.conftest import Site
from browser.conftest import Tab, sign_up

pytestmark = pytest.mark.slow


def test_the_card_follows_what_is_chosen_and_not_what_is_unticked(tab: Tab, fresh: Site) -> None:
    page = tab.page
    sign_up(tab, fresh)
    tab.open("webhooks/-/new")
    asked: list[str] = []
    page.on("request", lambda each: asked.append(each.url) if "/-/card" in each.url else None)
    card = page.locator("#event-card")

    page.check("input[value=payment_received]")
    card.get_by_text("payment_id").first.wait_for()
    page.check("input[value=customer_created]")
    card.get_by_text("customer_id").first.wait_for()
    page.uncheck("input[value=payment_received]")
    page.locator("form.card details summary").click()
    page.select_option("#payload_style", "legacy")
    card.get_by_text('"webhook_id"').first.wait_for()
    assert card.get_by_text('"type": "customer_created"').count() == 1
    page.select_option("#payload_style", "accepted")
    card.get_by_text('"webhook_id"').first.wait_for(state="detached")
    assert [each.count("customer_created") for each in asked] == [0, 1, 1, 1]


def test_a_url_is_tried_in_a_dialog_and_the_form_stays(tab: Tab, fresh: Site) -> None:
    page = tab.page
    sign_up(tab, fresh)
    tab.open("bins")
    page.locator("main form button.main").first.click()
    page.wait_for_url("**/bins/bin_*")
    catches = page.locator(".head code").inner_text()
    tab.open("webhooks/-/new")
    page.fill("#url", "nonsense")
    button = page.locator("button[formaction]")
    button.click()
    dialog = page.locator("dialog")
    dialog.locator(".problem").wait_for()
    dialog.locator("[data-close]").click()
    dialog.wait_for(state="detached")

    page.fill("#url", catches)
    page.check("input[value=payment_received]")
    button.click()
    dialog.locator("button[name=sure]").click()
    dialog.locator(".verdict.good").wait_for()
    assert dialog.count() == 1
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert button.evaluate("each => each === document.activeElement")
    assert page.input_value("#url") == catches
    assert button.is_enabled()
    assert page.url.endswith("/webhooks/-/new")
