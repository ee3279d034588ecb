"""A real Chromium in front of a real server; pages report what they should not do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from admin.conftest import PASSWORD, Site, start, stop

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """Where it is. Without one the test is skipped, on a build machine it fails."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        message = "there is no Chromium here (Debian: apt install chromium)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """No longer than its module: it holds an event loop, beside which no other can run."""
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    opened = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
    yield opened
    opened.close()


@dataclass
class Tab:
    """One page, and everything odd that it did."""

    page: Page
    base: str
    odd: list[str] = field(default_factory=list[str])

    def open(self, path: str) -> None:
        self.page.goto(f"{self.base}/admin/{path}")

    def see(self, text: str) -> None:
        self.page.get_by_text(text, exact=False).first.wait_for()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Site]:
    process, site = start(tmp_path / "data")
    yield site
    stop(process)


@pytest.fixture(params=["en-GB", "nb-NO"])
def tab(browser: Browser, fresh: Site, request: pytest.FixtureRequest) -> Iterator[Tab]:
    context = browser.new_context(locale=request.param, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    made = Tab(page, fresh.url)
    watch(made)
    yield made
    context.close()
    assert made.odd == []


def watch(tab: Tab) -> None:
    """Note dialogs, errors, broken policies and requests to anybody else."""

    def asked(url: str) -> None:
        if not url.startswith((tab.base, "data:")):
            tab.odd.append(f"request to {url}")

    tab.page.on("dialog", lambda each: tab.odd.append(f"dialog {each.message}"))
    tab.page.on("pageerror", lambda each: tab.odd.append(f"error {each}"))
    tab.page.on("request", lambda each: asked(each.url))
    tab.page.on(
        "console",
        lambda each: tab.odd.append(each.text) if "Content Security Policy" in each.text else None,
    )


def sign_up(tab: Tab, site: Site) -> None:
    """The link that the server printed, and its form."""
    tab.page.goto(site.setup_link)
    tab.page.fill("#email", "kari@example.com")
    tab.page.fill("#name", "Kari")
    tab.page.fill("#password", PASSWORD)
    tab.page.click("button.main")
    tab.page.wait_for_url(f"{site.url}/admin/")
