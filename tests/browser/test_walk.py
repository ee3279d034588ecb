"""The tutorial, walked in a browser by somebody who writes no code, in both languages."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from admin.conftest import Site
from browser.conftest import Tab, sign_up
from stafett.web.admin.languages import language

pytestmark = pytest.mark.slow

NASTY = '"><img src=x onerror=alert(1)><script>alert(1)</script>'


def words(tab: Tab) -> dict[str, str]:
    """The texts that the walk looks for, in the language of the page."""
    code = tab.page.evaluate("document.documentElement.lang")
    texts = (
        *("Add New Webhook", "Create request bin", "Waiting for the first request"),
        *("Webhook added.", "Send Test Event", "Test event delivered", "the signature holds"),
        *("No webhooks yet", "Available events", "Emit event", "Webhooks"),
    )
    return {each: language(code).said(language(code).text(each)) for each in texts}


def test_from_the_first_link_to_a_counted_event(tab: Tab, fresh: Site, tmp_path: Path) -> None:
    page = tab.page
    sign_up(tab, fresh)
    say = words(tab)
    page.get_by_role("link", name=say["Webhooks"], exact=True).click()
    tab.see(say["No webhooks yet"])
    tab.see(say["Available events"])
    page.screenshot(path=tmp_path / "empty.png")

    tab.open("bins")
    page.get_by_role("button", name=say["Create request bin"]).first.click()
    page.wait_for_url("**/bins/bin_*")
    tab.see(say["Waiting for the first request"])
    bin_page, catches = page.url, page.locator(".head code").inner_text()

    tab.open("webhooks/-/new")
    page.fill("#name", "Mailing list")
    page.fill("#url", catches)
    page.fill("#find-event", "payment received")
    page.check("input[value=payment_received]")
    page.locator("#event-card table").wait_for()
    page.locator("form button.main").click()
    tab.see(say["Webhook added."])
    tab.see("Mailing list")

    button = page.get_by_role("button", name=say["Send Test Event"]).first
    button.click()
    dialog = page.locator("dialog[open]")
    dialog.get_by_text(say["Test event delivered"]).wait_for()
    dialog.get_by_text("200", exact=True).wait_for()
    page.screenshot(path=tmp_path / "verdict.png")
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert button.evaluate("each => each === document.activeElement")

    page.goto(bin_page)
    page.get_by_text(say["the signature holds"]).first.wait_for()
    page.screenshot(path=tmp_path / "bin.png")
    rows = page.locator(".captures li")
    assert rows.count() == 1
    httpx.post(catches, content=b"live")
    rows.nth(1).wait_for()

    tab.open("emit?event=payment_received")
    page.locator("form button.main").click()
    page.wait_for_url("**/events/msg_*")
    tab.open("webhooks")
    page.locator("td.number", has_text="1").first.wait_for()


def test_strangers_markup_does_nothing_on_any_page(tab: Tab, fresh: Site) -> None:
    page = tab.page
    sign_up(tab, fresh)
    tab.open("bins")
    page.locator("main form button.main").first.click()
    page.wait_for_url("**/bins/bin_*")
    bin_page, catches = page.url, page.locator(".head code").inner_text()
    httpx.post(
        f"{catches}/{NASTY}",
        content=NASTY.encode(),
        headers={"content-type": "text/html", "x-nasty": NASTY},
    )
    page.locator(".captures li").first.wait_for()  # it shows by itself, and only then we go on
    tab.open("webhooks/-/new")
    page.fill("#name", NASTY)
    page.fill("#url", catches)
    page.check("input[name=every_event]")
    page.locator("form button.main").click()
    page.wait_for_url("**/webhooks?*")
    tab.open("emit?event=payment_received")
    page.fill("#payload", '{"payment_id": "<script>alert(1)</script><img src=x onerror=alert(1)>"}')
    page.locator("form button.main").click()
    page.wait_for_url("**/events/msg_*")
    for path in ("", "webhooks", "deliveries", "events", "event-types", "settings/audit"):
        tab.open(path)
        assert page.locator("main script, main img, main svg[onload]").count() == 0
    page.goto(bin_page)
    for link in page.locator(".captures a").all():
        link.click()
        page.wait_for_load_state()
        assert page.locator("main script, main img").count() == 0


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen(tab: Tab, fresh: Site, width: int) -> None:
    sign_up(tab, fresh)
    tab.page.set_viewport_size({"width": width, "height": 740})
    for path in (
        "",
        "webhooks",
        "webhooks/-/new",
        "deliveries",
        "events",
        "emit",
        "event-types",
        "event-types/payment_received",
        "bins",
        "settings",
        "settings/tokens",
        "settings/users",
        "settings/audit",
        "profile",
        "-/patterns",
    ):
        tab.open(path)
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width, path
