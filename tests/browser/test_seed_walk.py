"""What a new user must be able to do, done by its visible names: forms, verdicts, rules, lists.

`test_walk` goes the straight way; here are the turns beside it. Each test stands alone, with
webhooks and mostly an event of its own; they share a server and its owner.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from admin.conftest import Site, start, stop
from browser.answering import receiving
from browser.conftest import Tab, sign_up, watch

pytestmark = pytest.mark.slow

TIMEOUT = 2
"""Seconds that a receiver has for its answer."""
NOBODY = "http://127.0.0.1:65533/hook"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    process, made = start(
        tmp_path_factory.mktemp("seed") / "data",
        STAFETT_ATTEMPT_TIMEOUT=f"{TIMEOUT}s",
        STAFETT_RETRY_SCHEDULE="1s,4s",
    )
    yield made
    stop(process)


@pytest.fixture(scope="module")
def context(browser: Browser, site: Site) -> Iterator[BrowserContext]:
    """The owner's browser."""
    made = browser.new_context(locale="en-GB", base_url=f"{site.url}/admin/")
    made.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_up(Tab(made.new_page(), site.url), site)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, site: Site) -> Iterator[Page]:
    tab = Tab(context.new_page(), site.url)
    watch(tab)
    tab.open("")
    yield tab.page
    tab.page.close()
    assert tab.odd == []


# --- the steps that every walk is made of ---------------------------------------------------------


def go(page: Page, name: str) -> None:
    """By the main menu."""
    page.get_by_role("navigation", name="Main").get_by_role("link", name=name, exact=True).click()
    page.get_by_role("heading", level=1, name=name).wait_for()


def new_form(page: Page) -> None:
    go(page, "Webhooks")
    page.get_by_role("link", name="Add New Webhook").first.click()
    page.get_by_role("heading", name="Add New Webhook").wait_for()


def choose(page: Page, label: str) -> None:
    """Find an event in the form, and tick it."""
    page.get_by_role("searchbox", name="Search events").fill(label)
    page.get_by_role("checkbox", name=re.compile(f"^{label} ")).check()


def save(page: Page) -> None:
    page.get_by_role("main").get_by_role("button", name="Add New Webhook").click()


def add(page: Page, name: str, url: str, label: str) -> None:
    new_form(page)
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("URL", exact=True).fill(url)
    choose(page, label)
    save(page)
    page.get_by_text("Webhook added.").wait_for()


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def cell(page: Page, name: str, column: str) -> Locator:
    """What stands in a webhook's row below a heading."""
    heads = page.get_by_role("columnheader").all_inner_texts()
    at = next(i for i, text in enumerate(heads) if text.startswith(column))
    return row(page, name).get_by_role("cell").nth(at)


def send_test(page: Page, name: str) -> Locator:
    """Press the button in the webhook's row; the dialog that follows."""
    go(page, "Webhooks")
    row(page, name).get_by_role("button", name="Send Test Event").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("heading", level=1).wait_for()
    return dialog


def emit(page: Page, label: str, payload: dict[str, object] | None = None) -> None:
    """A real event; the page shows it afterwards."""
    go(page, "Events")
    page.get_by_role("link", name="Emit event").first.click()
    page.get_by_label("Choose an event").select_option(label=f"{label} ({slug(label)})")
    page.get_by_role("button", name="Take its sample").click()
    if payload is not None:
        page.get_by_label("Payload").fill(json.dumps(payload))
    page.get_by_role("button", name="Emit event").click()


def slug(label: str) -> str:
    return label.lower().replace(" ", "_")


def until(page: Page, wanted: Locator) -> None:
    """Look again until it is there."""
    end = time.monotonic() + 30
    while not wanted.count():
        assert time.monotonic() < end, page.get_by_role("main").inner_text()
        page.reload()


def open_delivery(page: Page, webhook: str, state: str) -> None:
    """From an event's page, once the delivery is in that state."""
    table = page.get_by_role("region", name="Webhooks").get_by_role("row")
    until(page, table.filter(has_text=webhook).filter(has_text=state))
    page.get_by_role("link", name=webhook, exact=True).click()
    page.get_by_role("heading", name="Attempts").wait_for()


def attempts(page: Page) -> list[str]:
    """The headlines of a delivery's attempts, the newest first."""
    return page.get_by_role("main").get_by_role("listitem").get_by_role("heading").all_inner_texts()


# --- what there is --------------------------------------------------------------------------------


def test_the_list_ends_with_every_event_and_what_is_sent(page: Page) -> None:
    go(page, "Event types")
    links = page.get_by_role("main").get_by_role("row").get_by_role("link")
    names = links.all_inner_texts()
    go(page, "Webhooks")
    events = page.get_by_role("region", name="Available events").get_by_role("group")
    titles = events.all_inner_texts()
    assert {title for title in titles if any(title.startswith(name) for name in names)} == {*titles}
    assert len(titles) == len(names)
    paid = events.filter(has_text="payment_received").filter(has_text="processed by its gateway")
    paid.get_by_text("Payment Received").first.click()
    paid.get_by_role("columnheader", name="Example").wait_for()
    paid.get_by_role("button", name="Copy").click()
    assert json.loads(copied(page))["payment_status"] == "completed"


# --- the form -------------------------------------------------------------------------------------


def test_a_webhook_needs_a_name_of_two_letters(page: Page) -> None:
    new_form(page)
    page.get_by_label("URL", exact=True).fill("https://example.com/hook")
    choose(page, "Site Published")
    save(page)
    name = page.get_by_label("Name", exact=True)
    assert name.evaluate("each => each.validity.valueMissing && each === document.activeElement")
    name.fill("x")
    save(page)
    expect(name).to_have_accessible_description(re.compile("Must have at least 2 characters"))
    expect(page.get_by_label("URL", exact=True)).to_have_value("https://example.com/hook")
    expect(page.get_by_role("checkbox", name="Site Published site_published")).to_be_checked()


@pytest.mark.parametrize(
    "url",
    ["example.com/hook", "ftp://example.com", "javascript:alert(1)", "http://exa mple.com/"],
)
def test_a_url_that_is_none_stays_to_be_mended(page: Page, url: str) -> None:
    new_form(page)
    page.get_by_label("Name", exact=True).fill("Wrong address")
    page.get_by_label("URL", exact=True).fill(url)
    choose(page, "Site Published")
    save(page)
    field = page.get_by_label("URL", exact=True)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_value(url)
    expect(field).to_have_accessible_description(re.compile("http:// or https://"))
    go(page, "Webhooks")
    expect(row(page, "Wrong address")).to_have_count(0)


def test_a_webhook_needs_an_event(page: Page) -> None:
    new_form(page)
    page.get_by_label("Name", exact=True).fill("No event")
    page.get_by_label("URL", exact=True).fill("https://example.com/hook")
    save(page)
    group = page.get_by_role("group", name="Event", exact=True)
    expect(group).to_have_accessible_description("Choose at least one event, or all")


def test_searching_leaves_the_events_that_fit_and_choosing_shows_what_is_sent(page: Page) -> None:
    new_form(page)
    page.get_by_role("searchbox", name="Search events").fill("refund")
    boxes = page.get_by_role("group", name="Event", exact=True).get_by_role("checkbox")
    expect(boxes.filter(visible=True)).to_have_count(2)  # all events, and the one
    page.get_by_role("checkbox", name="Refund Issued").check()
    page.get_by_role("heading", name="Refund Issued").wait_for()
    page.get_by_role("columnheader", name="Example").wait_for()
    page.get_by_role("heading", name="Sample").wait_for()


def test_a_private_address_is_refused_with_the_way_to_allow_it(
    browser: Browser, tmp_path: Path
) -> None:
    process, site = start(tmp_path / "data", STAFETT_ALLOW_NETWORKS="")
    try:
        tab = Tab(browser.new_page(), site.url)
        sign_up(tab, site)
        new_form(tab.page)
        tab.page.get_by_label("Name", exact=True).fill("At home")
        tab.page.get_by_label("URL", exact=True).fill("http://127.0.0.1:9999/hook")
        choose(tab.page, "Site Published")
        save(tab.page)
        expect(tab.page.get_by_label("URL", exact=True)).to_have_accessible_description(
            re.compile("not an address that may be reached.*STAFETT_ALLOW_NETWORKS", re.DOTALL)
        )
        tab.page.close()
    finally:
        stop(process)


def test_a_double_click_makes_one_webhook(page: Page) -> None:
    new_form(page)
    page.get_by_label("Name", exact=True).fill("Clicked twice")
    page.get_by_label("URL", exact=True).fill("https://example.com/hook")
    choose(page, "Site Published")
    page.get_by_role("main").get_by_role("button", name="Add New Webhook").dblclick()
    page.get_by_text("Webhook added.").wait_for()
    go(page, "Webhooks")
    expect(row(page, "Clicked twice")).to_have_count(1)


# --- verdicts on a test event ---------------------------------------------------------------------


def test_an_empty_204_is_a_success(page: Page) -> None:
    with receiving(204) as receiver:
        add(page, "Says nothing", receiver.url(), "Site Deleted")
        dialog = send_test(page, "Says nothing")
        dialog.get_by_role("heading", name="Test event delivered").wait_for()
        expect(dialog.get_by_role("status")).to_contain_text(re.compile(r"204.*\d+ ms"))
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Send Test Event to Says nothing")).to_be_focused()


@pytest.mark.parametrize(
    ("name", "url", "cause"),
    [
        ("Nobody there", NOBODY, "refused the connection"),
        ("No such name", "http://no-such-name.invalid/hook", "name"),
    ],
)
def test_a_receiver_that_cannot_be_reached(page: Page, name: str, url: str, cause: str) -> None:
    add(page, name, url, "Site Deleted")
    dialog = send_test(page, name)
    dialog.get_by_role("heading", name="Test event failed").wait_for()
    expect(dialog.get_by_role("status")).to_contain_text(cause)


def test_a_certificate_that_nobody_vouches_for(page: Page) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    with receiving(200, tls=tls) as receiver:
        add(page, "Own certificate", receiver.url("https"), "Site Deleted")
        dialog = send_test(page, "Own certificate")
        dialog.get_by_role("heading", name="Test event failed").wait_for()
        expect(dialog.get_by_role("status")).to_contain_text("certificate")
        assert receiver.heads == []


def test_a_receiver_that_never_answers_is_given_up_in_time(page: Page) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        add(page, "Silent", f"http://127.0.0.1:{silent.getsockname()[1]}/hook", "Site Deleted")
        go(page, "Webhooks")
        button = page.get_by_role("button", name="Send Test Event to Silent")
        began = time.monotonic()
        button.click()
        expect(button).to_have_text("Sending test…")
        expect(button).to_be_disabled()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("heading", name="Test event failed").wait_for()
        assert TIMEOUT <= time.monotonic() - began < TIMEOUT + 2
        expect(dialog.get_by_role("status")).to_contain_text("timeout")


def test_gone_switches_the_webhook_off_and_says_why(page: Page) -> None:
    with receiving(410) as receiver:
        add(page, "Moved away", receiver.url(), "Domain Removed")
        emit(page, "Domain Removed")
        open_delivery(page, "Moved away", "failed")
        assert len(attempts(page)) == 1
    go(page, "Webhooks")
    expect(cell(page, "Moved away", "Active")).to_have_text("No answered 410 Gone")
    row(page, "Moved away").get_by_role("link", name="Edit").click()
    page.get_by_text("Switched off: the receiver answered 410 Gone.").wait_for()


def test_a_webhook_that_is_off_can_be_tested_and_counts_nothing(page: Page) -> None:
    with receiving(200) as receiver:
        add(page, "Off but tested", receiver.url(), "Domain Removed")
        row(page, "Off but tested").get_by_role("link", name="Edit").click()
        page.get_by_label("Active", exact=True).uncheck()
        page.get_by_role("button", name="Save webhook").click()
        page.get_by_text("Webhook saved.").wait_for()
        dialog = send_test(page, "Off but tested")
        dialog.get_by_role("heading", name="Test event delivered").wait_for()
        assert receiver.heads[0]["stafett-test"] == "true"
        dialog.get_by_role("link", name="Open the delivery").click()
        page.get_by_text("test event").first.wait_for()
    go(page, "Webhooks")
    expect(cell(page, "Off but tested", "Count")).to_have_text("0")
    expect(cell(page, "Off but tested", "Active")).to_have_text("No")


# --- what is delivered, and how -------------------------------------------------------------------


def test_a_webhook_that_was_off_gets_what_is_new(page: Page) -> None:
    with receiving(200) as receiver:
        add(page, "Back again", receiver.url(), "Plan Changed")
        row(page, "Back again").get_by_role("link", name="Edit").click()
        page.get_by_label("Active", exact=True).uncheck()
        page.get_by_role("button", name="Save webhook").click()
        emit(page, "Plan Changed", {"when": "off"})
        page.get_by_text("No webhook wanted it.").wait_for()
        go(page, "Webhooks")
        row(page, "Back again").get_by_role("link", name="Edit").click()
        page.get_by_role("button", name="Switch on").click()
        emit(page, "Plan Changed", {"when": "on"})
        open_delivery(page, "Back again", "delivered")
        assert [json.loads(each)["when"] for each in receiver.bodies] == ["on"]


def test_two_webhooks_get_the_same_event_and_the_slow_one_keeps_nobody(page: Page) -> None:
    with receiving(200) as slow, receiving(200) as quick:
        slow.may_answer.clear()
        add(page, "Slow", slow.url(), "Payment Created")
        add(page, "Quick", quick.url(), "Payment Created")
        emit(page, "Payment Created")
        until(page, page.get_by_role("row", name="Quick delivered"))
        expect(page.get_by_role("row", name=re.compile("Slow (sending|waiting)"))).to_have_count(1)
        slow.may_answer.set()
        until(page, page.get_by_role("row", name="Slow delivered"))
        assert slow.heads[0]["webhook-id"] == quick.heads[0]["webhook-id"]
        assert slow.heads[0]["stafett-attempt"] != quick.heads[0]["stafett-attempt"]


def test_it_is_tried_again_later_and_later_until_it_arrives(page: Page, tmp_path: Path) -> None:
    with receiving(500, 500, 200) as receiver:
        add(page, "Third time lucky", receiver.url(), "Membership Expired")
        emit(page, "Membership Expired")
        open_delivery(page, "Third time lucky", "delivered")
        assert [text[:3] for text in attempts(page)] == ["200", "500", "500"]
        page.screenshot(path=tmp_path / "timeline.png")
        assert len({each["webhook-id"] for each in receiver.heads}) == 1
        first, second, third = receiver.times
        assert 1 <= second - first < third - second
    go(page, "Webhooks")
    expect(cell(page, "Third time lucky", "Count")).to_have_text("1")


def test_what_failed_for_good_is_seen_and_sent_again_by_hand(page: Page) -> None:
    with receiving(500, 500, 500, 200) as receiver:
        add(page, "Down", receiver.url(), "Membership Canceled")
        emit(page, "Membership Canceled")
        open_delivery(page, "Down", "failed")
        assert [text[:3] for text in attempts(page)] == ["500", "500", "500"]
        go(page, "Deliveries")
        page.get_by_label("State").select_option(label="failed")
        page.get_by_label("Event").select_option(label="Membership Canceled")
        page.get_by_role("button", name="Show", exact=True).click()
        page.get_by_role("row", name="Down failed").get_by_role("link").first.click()
        page.get_by_role("button", name="Send again").click()
        page.get_by_text("It is sent again.").wait_for()
        until(page, page.get_by_role("heading", name="sent again by hand"))
        assert [text[:3] for text in attempts(page)] == ["200", "500", "500", "500"]


def test_a_receiver_that_asks_for_quiet_gets_it(page: Page) -> None:
    with receiving((429, {"retry-after": "6"}), 200) as receiver:
        add(page, "Busy", receiver.url(), "Invoice Sent")
        emit(page, "Invoice Sent")
        open_delivery(page, "Busy", "delivered")
        assert [text[:3] for text in attempts(page)] == ["200", "429"]
        assert receiver.times[1] - receiver.times[0] >= 6


def test_a_payload_that_lacks_a_field_is_flagged_or_refused_by_its_name(page: Page) -> None:
    emit(page, "Customer Deleted", {"customer_name": "Ada"})
    notice = page.get_by_text("The payload does not fit its schema:")
    notice.wait_for()
    page.get_by_role("listitem").filter(has_text="customer_id").first.wait_for()
    go(page, "Event types")
    page.get_by_role("link", name="Customer Deleted").click()
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("A payload that does not fit").select_option(label="is refused")
    page.get_by_role("button", name="Save event type").click()
    page.get_by_text("Event type saved.").wait_for()
    emit(page, "Customer Deleted", {"customer_name": "Ada"})
    expect(page.get_by_label("Payload")).to_have_accessible_description(re.compile("customer_id"))
    expect(page.get_by_label("Payload")).to_have_value(re.compile("Ada"))


# --- lists ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three(context: BrowserContext) -> tuple[str, str, str]:
    """Webhooks for lists."""
    page = context.new_page()
    page.goto("")
    names = ("List Anna", "List Berit", "List Cecilie")
    for name, event in zip(
        names, ("Checkout Failed", "Refund Issued", "Refund Issued"), strict=True
    ):
        add(page, name, f"https://{slug(name).replace('_', '-')}.example/hook", event)
    page.close()
    return names


def found(page: Page) -> list[str]:
    """The names in the list, top to bottom."""
    rows = page.get_by_role("row").filter(has=page.get_by_role("link", name="Edit"))
    return [each.get_by_role("link").first.inner_text() for each in rows.all()]


def search(page: Page, text: str = "", **chosen: str) -> None:
    go(page, "Webhooks")
    page.get_by_label("Search").fill(text)
    for label, value in chosen.items():
        page.get_by_label(label, exact=True).select_option(label=value)
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**/webhooks?*text=*")


COLUMNS = (
    *("Name", "Target URL", "Event(s)", "Count"),
    *("Integration", "Active", "Last result", "ID"),
)


def test_the_list_is_sorted_by_every_column_both_ways(
    page: Page, three: tuple[str, str, str]
) -> None:
    search(page, "List ")
    for column in COLUMNS:
        for order in ("ascending", "descending"):
            page.get_by_role("columnheader", name=column).get_by_role("link").click()
            head = page.get_by_role("columnheader", name=column)
            expect(head).to_have_attribute("aria-sort", order)
            assert sorted(found(page)) == list(three)
            if column in {"Name", "Target URL", "ID"}:  # made in the order of their names
                assert found(page) == sorted(three, reverse=order == "descending")


def test_the_list_is_searched_and_filtered(page: Page, three: tuple[str, str, str]) -> None:
    anna, berit, cecilie = three
    search(page, "list berit")
    assert found(page) == [berit]
    search(page, "list-cecilie.example")
    assert found(page) == [cecilie]
    search(page, "checkout_failed")
    assert found(page) == [anna]
    search(page, "List ", Event="Refund Issued")
    assert found(page) == [cecilie, berit]
    search(page, "List ", Integration="manual", Active="Yes")
    assert found(page) == [cecilie, berit, anna]
    search(page, "nothing of the kind")
    page.get_by_text("No webhook is like that.").wait_for()


def test_several_are_switched_and_deleted_at_once(page: Page) -> None:
    for name in ("Bulk one", "Bulk two", "Bulk three"):
        add(page, name, "https://example.com/hook", "Site Published")
    for action, active in (("Deactivate", "No"), ("Activate", "Yes")):
        search(page, "Bulk ")
        page.get_by_label("Choose all").check()
        do(page, action)
        search(page, "Bulk ")
        for name in ("Bulk one", "Bulk two", "Bulk three"):
            expect(cell(page, name, "Active")).to_have_text(active)
    page.get_by_label("Choose all").check()
    page.get_by_label("Choose Bulk two").uncheck()
    expect(page.get_by_label("Choose all")).not_to_be_checked()
    do(page, "Delete", wait=False)
    page.get_by_role("heading", name="Delete for good?").wait_for()
    page.get_by_role("button", name="Delete", exact=True).click()
    search(page, "Bulk ")
    assert found(page) == ["Bulk two"]


def do(page: Page, action: str, *, wait: bool = True) -> None:
    page.get_by_label("With the chosen ones").select_option(label=action)
    page.get_by_role("button", name="Do it").click()
    if wait:
        page.get_by_text("Done.").wait_for()


def test_a_delivery_shows_both_sides_and_can_be_copied_and_repeated(page: Page) -> None:
    with receiving((200, {"x-shop": "open"})) as receiver:
        add(page, "Both sides", receiver.url(), "Payment Updated")
        emit(page, "Payment Updated")
        until(page, page.get_by_role("row", name="Both sides delivered"))
        go(page, "Webhooks")
        row(page, "Both sides").get_by_role("link", name="Deliveries").click()
        line = page.get_by_role("row", name="Both sides")
        expect(line).to_have_count(1)
        for text in ("payment_updated", "delivered", "200", " ms"):
            expect(line).to_contain_text(text)
        line.get_by_role("link").first.click()
        page.get_by_text("Request", exact=True).click()
        expect(page.get_by_role("row", name="webhook-signature")).to_be_visible()
        expect(page.get_by_role("row", name="x-shop open")).to_be_visible()
        page.get_by_role("main").get_by_role("button", name="Copy").last.click()
        assert json.loads(copied(page)) == json.loads(receiver.bodies[0])
        page.get_by_role("button", name="Send again").click()
        page.get_by_text("It is sent again.").wait_for()
        until(page, page.get_by_role("heading", name="sent again by hand"))
        assert len(receiver.heads) == 2


def copied(page: Page) -> str:
    return page.evaluate("navigator.clipboard.readText()")


def test_the_log_of_events_is_filtered_and_a_payload_viewed(page: Page) -> None:
    emit(page, "Customer Updated", {"customer_id": 4711, "note": "found by its number"})
    page.get_by_role("heading", name="customer_updated").wait_for()
    go(page, "Events")
    page.get_by_label("Event", exact=True).select_option(label="Customer Updated")
    page.get_by_label("Text in the payload").fill("4711")
    page.get_by_label("After (UTC)").fill("2026-01-01T00:00:00")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**/events?*text=4711*")
    lines = page.get_by_role("row", name="customer_updated")
    expect(lines).to_have_count(1)
    lines.get_by_role("link").first.click()
    page.get_by_text("found by its number").first.wait_for()
    page.get_by_text("Raw", exact=True).click()
    page.get_by_role("region", name="Payload").get_by_role("button", name="Copy").click()
    assert json.loads(copied(page))["customer_id"] == 4711
    go(page, "Events")
    page.get_by_label("Before (UTC)").fill("2026-01-01T00:00:00")
    page.get_by_role("button", name="Show", exact=True).click()
    page.get_by_text("No event is like that.").wait_for()


def press_until(page: Page, wanted: Locator) -> None:
    """Tab on until it has the focus, as somebody without a mouse must."""
    for _ in range(120):
        page.keyboard.press("Tab")
        if wanted.evaluate("each => each === document.activeElement"):
            return
    raise AssertionError(wanted)


@pytest.mark.parametrize("width", [360, 1280])
def test_a_webhook_is_added_and_tested_by_keyboard_alone(page: Page, width: int) -> None:
    name = f"By keyboard {width}"
    page.set_viewport_size({"width": width, "height": 740})
    with receiving(200) as receiver:
        press_until(page, page.get_by_role("link", name="Webhooks", exact=True).first)
        page.keyboard.press("Enter")
        page.get_by_role("heading", level=1, name="Webhooks").wait_for()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        page.keyboard.press("Enter")
        press_until(page, page.get_by_role("link", name="Add New Webhook").first)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Add New Webhook").wait_for()
        press_until(page, page.get_by_label("Name", exact=True))
        page.keyboard.type(name)
        press_until(page, page.get_by_label("URL", exact=True))
        page.keyboard.type(receiver.url())
        press_until(page, page.get_by_role("searchbox", name="Search events"))
        page.keyboard.type("site published")
        press_until(page, page.get_by_role("checkbox", name="Site Published"))
        page.keyboard.press("Space")
        page.keyboard.press("Enter")
        page.get_by_text("Webhook added.").wait_for()
        button = page.get_by_role("button", name=f"Send Test Event to {name}")
        press_until(page, button)
        page.keyboard.press("Enter")
        page.get_by_role("dialog", name="Test event delivered").wait_for()
        page.keyboard.press("Escape")
        expect(button).to_be_focused()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_language_is_chosen_and_stays(
    browser: Browser, context: BrowserContext, site: Site
) -> None:
    page = browser.new_page(storage_state=context.storage_state(), locale="en-GB")
    page.goto(f"{site.url}/admin/")
    go(page, "Webhooks")
    page.get_by_role("button", name="Norsk bokmål").click()
    page.get_by_role("heading", level=1, name="Webhooker").wait_for()
    page.get_by_role("link", name="Legg til ny webhook").first.click()
    page.get_by_role("heading", name="Legg til ny webhook").wait_for()
    page.get_by_role("button", name="English").click()
    page.get_by_role("heading", name="Add New Webhook").wait_for()
    page.context.close()


def test_the_menu_of_the_user_closes_by_escape_and_by_a_click_beside_it(page: Page) -> None:
    opener, inside = (
        page.get_by_text("Kari", exact=True),
        page.get_by_role("button", name="Sign out"),
    )
    opener.click()
    expect(inside).to_be_visible()
    page.keyboard.press("Escape")
    expect(inside).to_be_hidden()
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    expect(inside).to_be_visible()
    page.get_by_role("heading", level=1).click()
    expect(inside).to_be_hidden()


def test_several_are_not_touched_before_it_is_said_what_to_do(
    page: Page, three: tuple[str, str, str]
) -> None:
    search(page, "List ")
    page.get_by_label("Choose all").check()
    page.get_by_role("button", name="Do it").click()
    action = page.get_by_label("With the chosen ones")
    assert action.evaluate("each => each.validity.valueMissing && each === document.activeElement")
    assert sorted(found(page)) == list(three)
