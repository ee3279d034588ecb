"""The overview as a browser shows it: charts in the reader's language, numbers that keep up."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from admin.conftest import Site
from browser.conftest import Tab, sign_up

pytestmark = pytest.mark.slow

WORDS = {
    "en": ("delivered in 24 hours", "Attempts", "delivered", "As a table", "7 days"),
    "nb": ("levert siste 24 timer", "Forsøk", "levert", "Som tabell", "7 dager"),
}
SOON = 20_000
"""Milliseconds: three times what any of it takes."""


@pytest.fixture
def page(tab: Tab, fresh: Site) -> Page:
    """The overview, after one event was delivered."""
    sign_up(tab, fresh)
    tab.open("bins")
    tab.page.locator("main form button").last.click()
    tab.page.wait_for_url(re.compile("bins/bin_"))
    catches = re.search(r"http://[^<\s]+/in/[0-9a-f]+", tab.page.content())
    assert catches is not None
    tab.open("webhooks/-/new")
    tab.page.locator("[name=name]").fill("Shop")
    tab.page.locator("[name=url]").fill(catches[0])
    tab.page.locator("[name=every_event]").check()
    tab.page.locator("main form button.main").click()
    tab.page.wait_for_url(re.compile("new=ep_"))
    emit(tab.page.context, fresh)
    tab.open("")
    return tab.page


def emit(context: BrowserContext, site: Site) -> None:
    """One event, in a tab of its own."""
    other = context.new_page()
    other.goto(f"{site.url}/admin/emit?event=payment_received")
    other.locator("main form[method=post] button.main").click()
    other.wait_for_url(re.compile("events/msg_"))
    other.close()


def words(page: Page) -> tuple[str, str, str, str, str]:
    return WORDS[page.locator("html").get_attribute("lang") or ""]


def test_numbers_keep_up_without_a_new_page_and_charts_say_them(page: Page, fresh: Site) -> None:
    label, title, good, table, week = words(page)
    number = page.locator(".tile", has_text=label).locator("b")
    expect(number).to_have_text("1", timeout=SOON)
    page.evaluate("window.same = true")
    emit(page.context, fresh)
    expect(number).to_have_text("2", timeout=SOON)
    assert page.evaluate("window.same")

    page.get_by_role("link", name=week).press("Enter")
    expect(page.get_by_role("link", name=week)).to_have_attribute("aria-current", "true")
    expect(page.get_by_role("link", name=week)).to_be_focused()
    assert page.evaluate("window.same")
    assert page.url.endswith("range=7d")
    chart = page.get_by_role("figure", name=title, exact=True)
    expect(chart.locator("canvas")).to_be_visible()
    expect(chart.locator(".u-legend")).to_contain_text(f"{good}2")
    chart.get_by_text(table).click()
    expect(chart.get_by_role("row").nth(1).get_by_role("cell").first).to_have_text("2")
    assert page.locator("style").count() == 0


def test_a_chart_follows_the_colours_and_the_width_of_the_page(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    marker, drawing = page.locator(".u-marker").last, page.locator("canvas").last
    light = marker.evaluate("(each) => getComputedStyle(each).borderTopColor")
    page.emulate_media(color_scheme="dark")
    expect(marker).not_to_have_css("border-top-color", light, timeout=SOON)
    page.set_viewport_size({"width": 360, "height": 800})
    expect(drawing).to_have_css("width", re.compile(r"^[23]\d\d(\.\d+)?px$"), timeout=SOON)
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_a_page_that_nobody_sees_asks_for_nothing(page: Page, fresh: Site) -> None:
    page.clock.install()
    page.goto(f"{fresh.url}/admin/")
    asked: list[str] = []
    page.on(
        "request",
        lambda each: (
            asked.append(each.url) if each.method == "GET" and "static" not in each.url else None
        ),
    )
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.clock.run_for(120_000)
    assert asked == []
    with page.expect_request(re.compile("/admin/$")):
        page.evaluate(
            "delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))"
        )
