"""Every page of the admin and every form that it sends, as data: dispatch and tests read it."""

from __future__ import annotations

from typing import Final

from stafett.web.admin import view_bins as bins
from stafett.web.admin import view_captures as captures
from stafett.web.admin import view_deliveries as deliveries
from stafett.web.admin import view_event_types as event_types
from stafett.web.admin import view_events as events
from stafett.web.admin import view_imports as imports
from stafett.web.admin import view_overview as overview
from stafett.web.admin import view_people as people
from stafett.web.admin import view_settings as settings
from stafett.web.admin import view_test_events as test_events
from stafett.web.admin import view_webhooks as webhooks
from stafett.web.admin.visits import Page

PAGES: Final[tuple[Page, ...]] = (
    *overview.PAGES,
    *people.PAGES,
    *webhooks.PAGES,
    *test_events.PAGES,
    *bins.PAGES,
    *captures.PAGES,
    *deliveries.PAGES,
    *events.PAGES,
    *event_types.PAGES,
    *imports.PAGES,
    *settings.PAGES,
)
