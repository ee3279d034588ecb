"""Somebody who finds things on a page as a reader does: by role and label, in their language.

A test names texts in English, as templates and services do; what is looked for is that text in
the language of the browser.
"""

from __future__ import annotations

import time
from typing import Any

from playwright.sync_api import FrameLocator, Locator, Page

from stafett.web.admin.languages import chosen

LOCALES: tuple[str, str] = ("en-GB", "nb-NO")
_PATIENCE = 30
"""Seconds."""
Place = Page | Locator | FrameLocator


class Reader:
    """One reader of one tab."""

    def __init__(self, page: Page, locale: str) -> None:
        self.page = page
        self.locale = locale
        self._language = chosen("", locale)

    def say(self, english: str, /, **values: Any) -> str:
        """A text in the reader's language."""
        return self._language.said(self._language.text(english, **values))

    def event(self, english: str, /) -> str:
        """What a built-in event type says, in the reader's language."""
        return self._language.event_text(english)

    @property
    def main(self) -> Locator:
        """The page without what stands around every page."""
        return self.page.get_by_role("main")

    def link(self, name: str, /, *, within: Place | None = None, **values: Any) -> Locator:
        return (within or self.page).get_by_role("link", name=self.say(name, **values), exact=True)

    def button(self, name: str, /, *, within: Place | None = None, **values: Any) -> Locator:
        """One in the page's own part, unless `within` says where."""
        place = within or self.main
        return place.get_by_role("button", name=self.say(name, **values), exact=True)

    def heading(self, name: str, /, *, within: Place | None = None, **values: Any) -> Locator:
        place = within or self.page
        return place.get_by_role("heading", name=self.say(name, **values), exact=True)

    def field(self, label: str, /, *, within: Place | None = None, **values: Any) -> Locator:
        return (within or self.main).get_by_label(self.say(label, **values), exact=True)

    def text(self, words: str, /, *, within: Place | None = None, **values: Any) -> Locator:
        """Where the words stand, alone or among others."""
        return (within or self.page).get_by_text(self.say(words, **values)).first

    def region(self, name: str, /) -> Locator:
        return self.page.get_by_role("region", name=self.say(name), exact=True)

    def go(self, name: str, /) -> None:
        """By the main menu."""
        menu = self.page.get_by_role("navigation", name=self.say("Main"), exact=True)
        self.link(name, within=menu).click()
        self.page.get_by_role("heading", level=1, name=self.say(name), exact=True).wait_for()

    def see_at_last(self, wanted: Locator) -> None:
        """Look again until it is there, as somebody does who waits for what happens elsewhere."""
        end = time.monotonic() + _PATIENCE
        while not wanted.count():
            assert time.monotonic() < end, self.main.inner_text()
            self.page.reload()
