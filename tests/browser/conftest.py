"""A real Chromium in front of a real server; pages report what they should not do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, Playwright, sync_playwright

from admin.conftest import PASSWORD, Site, start, stop
from browser.reading import LOCALES, Reader

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
    locale: str = LOCALES[0]
    shots: Path = Path()

    @property
    def reader(self) -> Reader:
        return Reader(self.page, self.locale)

    def open(self, path: str) -> None:
        self.page.goto(f"{self.base}/admin/{path}")

    def see(self, text: str) -> None:
        self.page.get_by_text(text, exact=False).first.wait_for()

    def shoot(self, name: str) -> None:
        """A picture of what is seen, for people."""
        path = self.shots / f"{name}.{self.locale}.png"
        # To hide the caret it would put styles on fields, and scripts might carry them on.
        self.page.screenshot(path=path, animations="disabled", caret="initial")


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where pictures go: a folder that `SCREENSHOTS` names, else the test's own."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Site]:
    process, site = start(tmp_path / "data")
    yield site
    stop(process)


@pytest.fixture(params=LOCALES)
def tab(
    browser: Browser, fresh: Site, shots: Path, request: pytest.FixtureRequest
) -> Iterator[Tab]:
    context = browser.new_context(locale=request.param, viewport={"width": 1280, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    made = Tab(context.new_page(), fresh.url, locale=request.param, shots=shots)
    watch(made)
    yield made
    context.close()
    assert made.odd == []


def watch(tab: Tab) -> None:
    """Note dialogs, errors, broken policies and requests to anybody else."""

    def asked(url: str) -> None:
        if not url.startswith((tab.base, "data:")):
            tab.odd.append(f"request to {url}")

    def said(dialog: Dialog) -> None:
        tab.odd.append(f"dialog {dialog.message}")
        dialog.dismiss()

    tab.page.on("dialog", said)
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
