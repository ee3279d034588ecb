"""Every page of the admin and every form that it sends, as data: dispatch and tests read it."""

from __future__ import annotations

from typing import Final

from stafett.web.admin import view_bins as bins
from stafett.web.admin import view_people as people
from stafett.web.admin import view_webhooks as webhooks
from stafett.web.admin.visits import Page

PAGES: Final[tuple[Page, ...]] = (
    *people.PAGES,
    *webhooks.PAGES,
    *bins.PAGES,
)
