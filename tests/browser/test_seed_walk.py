"""What a new user must be able to do, done by its visible names: forms, verdicts, rules, lists.

`test_walk` goes the straight way; here are the turns beside it, each in both languages. Each test
stands alone, with webhooks and mostly an event of its own; those of one language share a server
and its owner.
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
from playwright.sync_api import Browser, BrowserContext, Locator, expect

from admin.conftest import Site, start, stop
from browser.answering import receiving
from browser.conftest import Tab, sign_up, watch
from browser.reading import LOCALES, Reader
from stafett import egress

pytestmark = pytest.mark.slow

TIMEOUT = 2
"""Seconds that a receiver has for its answer."""
CALLED = {"en-GB": "English", "nb-NO": "Norsk bokmål"}
CERTIFICATE = {"en-GB": "certificate", "nb-NO": "sertifikat"}
NOBODY = "http://127.0.0.1:65533/hook"


@pytest.fixture(scope="module", params=LOCALES)
def locale(request: pytest.FixtureRequest) -> str:
    """What the browser asks for."""
    return request.param


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, locale: str) -> Iterator[Site]:
    process, made = start(
        tmp_path_factory.mktemp(f"seed-{locale}") / "data",
        STAFETT_ATTEMPT_TIMEOUT=f"{TIMEOUT}s",
        STAFETT_RETRY_SCHEDULE="1s,4s",
    )
    yield made
    stop(process)


@pytest.fixture(scope="module")
def context(browser: Browser, site: Site, locale: str) -> Iterator[BrowserContext]:
    """The owner's browser."""
    made = browser.new_context(locale=locale, base_url=f"{site.url}/admin/")
    made.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_up(Tab(made.new_page(), site.url, locale=locale), site)
    yield made
    made.close()


@pytest.fixture
def tab(context: BrowserContext, site: Site, locale: str, shots: Path) -> Iterator[Tab]:
    made = Tab(context.new_page(), site.url, locale=locale, shots=shots)
    watch(made)
    made.open("")
    yield made
    made.page.close()
    assert made.odd == []


@pytest.fixture
def reader(tab: Tab) -> Reader:
    return tab.reader


# --- the steps that every walk is made of ---------------------------------------------------------


def new_form(reader: Reader) -> None:
    reader.go("Webhooks")
    reader.link("Add New Webhook").first.click()
    reader.heading("Add New Webhook").wait_for()


def choose(reader: Reader, label: str) -> None:
    """Find an event in the form, and tick it."""
    reader.field("Search events").fill(reader.event(label))
    event_box(reader, label).check()


def event_box(reader: Reader, label: str) -> Locator:
    return reader.page.get_by_role(
        "checkbox", name=f"{reader.event(label)} {slug(label)}", exact=True
    )


def save(reader: Reader) -> None:
    reader.button("Add New Webhook").click()


def add(reader: Reader, name: str, url: str, label: str) -> None:
    new_form(reader)
    reader.field("Name").fill(name)
    reader.field("URL").fill(url)
    choose(reader, label)
    save(reader)
    reader.text("Webhook added.").wait_for()


def row(reader: Reader, name: str) -> Locator:
    link = reader.page.get_by_role("link", name=name, exact=True)
    return reader.page.get_by_role("row").filter(has=link)


def cell(reader: Reader, name: str, column: str) -> Locator:
    """What stands in a webhook's row below a heading."""
    heads = reader.page.get_by_role("columnheader").all_inner_texts()
    at = next(i for i, text in enumerate(heads) if text.startswith(reader.say(column)))
    return row(reader, name).get_by_role("cell").nth(at)


def send_test(reader: Reader, name: str) -> Locator:
    """Press the button in the webhook's row; the dialog that follows."""
    reader.go("Webhooks")
    button_of(reader, name).click()
    dialog = reader.page.get_by_role("dialog")
    dialog.get_by_role("heading", level=1).wait_for()
    return dialog


def button_of(reader: Reader, name: str) -> Locator:
    """The button that sends a test event."""
    return reader.button("Send Test Event to {name}", name=name)


def emit(reader: Reader, label: str, payload: dict[str, object] | None = None) -> None:
    """A real event; the page shows it afterwards."""
    reader.go("Events")
    reader.link("Emit event").first.click()
    reader.field("Choose an event").select_option(value=slug(label))
    reader.button("Take its sample").click()
    if payload is not None:
        reader.field("Payload").fill(json.dumps(payload))
    reader.button("Emit event").click()


def slug(label: str) -> str:
    return label.lower().replace(" ", "_")


def delivery(reader: Reader, webhook: str, state: str) -> Locator:
    """Its row, as it is in that state."""
    return reader.page.get_by_role("row", name=f"{webhook} {reader.say(state)}")


def open_delivery(reader: Reader, webhook: str, state: str) -> None:
    """From an event's page, once the delivery is in that state."""
    reader.see_at_last(delivery(reader, webhook, state))
    reader.page.get_by_role("link", name=webhook, exact=True).click()
    reader.heading("Attempts").wait_for()


def attempts(reader: Reader) -> list[str]:
    """The headlines of a delivery's attempts, the newest first."""
    return reader.main.get_by_role("listitem").get_by_role("heading").all_inner_texts()


def says(reader: Reader, words: str) -> re.Pattern[str]:
    """The words in the reader's language, somewhere in a text, whatever letter it begins with."""
    return re.compile(re.escape(reader.say(words)), re.IGNORECASE)


# --- the form -------------------------------------------------------------------------------------


def test_a_webhook_needs_a_name_of_two_letters(reader: Reader) -> None:
    new_form(reader)
    reader.field("URL").fill("https://example.com/hook")
    choose(reader, "Site Published")
    save(reader)
    name = reader.field("Name")
    assert name.evaluate("each => each.validity.valueMissing && each === document.activeElement")
    name.fill("x")
    save(reader)
    expect(name).to_have_accessible_description(says(reader, "must have at least 2 characters"))
    expect(reader.field("URL")).to_have_value("https://example.com/hook")
    expect(event_box(reader, "Site Published")).to_be_checked()


NO_SCHEME = "must begin with http:// or https://"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("example.com/hook", NO_SCHEME),
        ("ftp://example.com", NO_SCHEME),
        ("javascript:alert(1)", NO_SCHEME),
        ("http://exa mple.com/", "must not have spaces or control characters"),
    ],
)
def test_a_url_that_is_none_stays_to_be_mended(reader: Reader, url: str, problem: str) -> None:
    new_form(reader)
    reader.field("Name").fill("Wrong address")
    reader.field("URL").fill(url)
    choose(reader, "Site Published")
    save(reader)
    field = reader.field("URL")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_value(url)
    expect(field).to_have_accessible_description(says(reader, problem))
    expect(field).to_have_accessible_description(re.compile("http:// .* https://"))
    reader.go("Webhooks")
    expect(row(reader, "Wrong address")).to_have_count(0)


def test_a_webhook_needs_an_event(reader: Reader) -> None:
    new_form(reader)
    reader.field("Name").fill("No event")
    reader.field("URL").fill("https://example.com/hook")
    save(reader)
    expect(choices(reader)).to_have_accessible_description(
        says(reader, "choose at least one event, or all")
    )


def choices(reader: Reader) -> Locator:
    """The events in the form."""
    return reader.page.get_by_role("group", name=reader.say("Event"), exact=True)


def test_searching_leaves_the_events_that_fit_and_choosing_shows_what_is_sent(
    reader: Reader,
) -> None:
    new_form(reader)
    reader.field("Search events").fill("refund")
    boxes = choices(reader).get_by_role("checkbox")
    expect(boxes.filter(visible=True)).to_have_count(2)  # all events, and the one
    event_box(reader, "Refund Issued").check()
    label = reader.event("Refund Issued")
    reader.page.get_by_role("heading", name=label, exact=True).wait_for()
    reader.page.get_by_role("columnheader", name=reader.say("Example"), exact=True).wait_for()
    reader.heading("Sample").wait_for()


def test_a_private_address_is_refused_with_the_way_to_allow_it(
    browser: Browser, locale: str, tmp_path: Path
) -> None:
    process, site = start(tmp_path / "data", STAFETT_ALLOW_NETWORKS="")
    try:
        tab = Tab(browser.new_page(locale=locale), site.url, locale=locale)
        reader = tab.reader
        sign_up(tab, site)
        new_form(reader)
        reader.field("Name").fill("At home")
        reader.field("URL").fill("http://127.0.0.1:9999/hook")
        choose(reader, "Site Published")
        save(reader)
        expect(reader.field("URL")).to_have_accessible_description(
            says(reader, f"is not an address that may be reached (this machine); {egress.HINT}")
        )
        tab.page.close()
    finally:
        stop(process)


def test_a_double_click_makes_one_webhook(reader: Reader) -> None:
    new_form(reader)
    reader.field("Name").fill("Clicked twice")
    reader.field("URL").fill("https://example.com/hook")
    choose(reader, "Site Published")
    reader.button("Add New Webhook").dblclick()
    reader.text("Webhook added.").wait_for()
    reader.go("Webhooks")
    expect(row(reader, "Clicked twice")).to_have_count(1)


# --- verdicts on a test event ---------------------------------------------------------------------


def test_an_empty_204_is_a_success(reader: Reader) -> None:
    with receiving(204) as receiver:
        add(reader, "Says nothing", receiver.url(), "Site Deleted")
        dialog = send_test(reader, "Says nothing")
        reader.heading("Test event sent", within=dialog).wait_for()
        expect(dialog.get_by_role("status")).to_contain_text(re.compile(r"204.*\d+ ms"))
    reader.page.keyboard.press("Escape")
    expect(button_of(reader, "Says nothing")).to_be_focused()


@pytest.mark.parametrize(
    ("name", "url", "cause"),
    [
        ("Nobody there", NOBODY, "the endpoint refused the connection"),
        ("No such name", "http://no-such-name.invalid/hook", "the name cannot be resolved"),
    ],
)
def test_a_receiver_that_cannot_be_reached(reader: Reader, name: str, url: str, cause: str) -> None:
    add(reader, name, url, "Site Deleted")
    dialog = send_test(reader, name)
    reader.heading("Test event failed", within=dialog).wait_for()
    expect(dialog.get_by_role("status")).to_contain_text(says(reader, cause))


def test_a_certificate_that_nobody_vouches_for(reader: Reader) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    with receiving(200, tls=tls) as receiver:
        add(reader, "Own certificate", receiver.url("https"), "Site Deleted")
        dialog = send_test(reader, "Own certificate")
        reader.heading("Test event failed", within=dialog).wait_for()
        expect(dialog.get_by_role("status")).to_contain_text(CERTIFICATE[reader.locale])
        assert receiver.heads == []


def test_a_receiver_that_never_answers_is_given_up_in_time(reader: Reader) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        add(reader, "Silent", f"http://127.0.0.1:{silent.getsockname()[1]}/hook", "Site Deleted")
        reader.go("Webhooks")
        button = button_of(reader, "Silent")
        began = time.monotonic()
        button.click()
        expect(button).to_have_text(reader.say("Sending test…"))
        expect(button).to_be_disabled()
        dialog = reader.page.get_by_role("dialog")
        reader.heading("Test event failed", within=dialog).wait_for()
        assert TIMEOUT <= time.monotonic() - began < TIMEOUT + 2
        expect(dialog.get_by_role("status")).to_contain_text(
            says(reader, "no whole reply within the timeout")
        )


def test_gone_switches_the_webhook_off_and_says_why(reader: Reader) -> None:
    with receiving(410) as receiver:
        add(reader, "Moved away", receiver.url(), "Domain Removed")
        emit(reader, "Domain Removed")
        open_delivery(reader, "Moved away", "failed")
        assert len(attempts(reader)) == 1
    reader.go("Webhooks")
    expect(cell(reader, "Moved away", "Active")).to_have_text(
        f"{reader.say('No')} {reader.say('answered 410 Gone')}"
    )
    reader.link("Edit", within=row(reader, "Moved away")).click()
    reader.text("Switched off: the receiver answered 410 Gone.").wait_for()


def test_a_webhook_that_is_off_can_be_tested_and_counts_nothing(reader: Reader) -> None:
    with receiving(200) as receiver:
        add(reader, "Off but tested", receiver.url(), "Domain Removed")
        reader.link("Edit", within=row(reader, "Off but tested")).click()
        reader.field("Active").uncheck()
        reader.button("Save webhook").click()
        reader.text("Webhook saved.").wait_for()
        dialog = send_test(reader, "Off but tested")
        reader.heading("Test event sent", within=dialog).wait_for()
        assert receiver.heads[0]["stafett-test"] == "true"
        reader.link("Open the delivery", within=dialog).click()
        reader.text("test event").wait_for()
    reader.go("Webhooks")
    expect(cell(reader, "Off but tested", "Count")).to_have_text("0")
    expect(cell(reader, "Off but tested", "Active")).to_have_text(reader.say("No"))


# --- what is delivered, and how -------------------------------------------------------------------


def test_a_webhook_that_was_off_gets_what_is_new(reader: Reader) -> None:
    with receiving(200) as receiver:
        add(reader, "Back again", receiver.url(), "Plan Changed")
        reader.link("Edit", within=row(reader, "Back again")).click()
        reader.field("Active").uncheck()
        reader.button("Save webhook").click()
        emit(reader, "Plan Changed", {"when": "off"})
        reader.text("No webhook wanted it.").wait_for()
        reader.go("Webhooks")
        reader.link("Edit", within=row(reader, "Back again")).click()
        reader.button("Switch on").click()
        emit(reader, "Plan Changed", {"when": "on"})
        open_delivery(reader, "Back again", "delivered")
        assert [json.loads(each)["when"] for each in receiver.bodies] == ["on"]


def test_two_webhooks_get_the_same_event_and_the_slow_one_keeps_nobody(reader: Reader) -> None:
    with receiving(200) as slow, receiving(200) as quick:
        slow.may_answer.clear()
        add(reader, "Slow", slow.url(), "Payment Created")
        add(reader, "Quick", quick.url(), "Payment Created")
        emit(reader, "Payment Created")
        reader.see_at_last(delivery(reader, "Quick", "delivered"))
        under_way = delivery(reader, "Slow", "sending").or_(delivery(reader, "Slow", "waiting"))
        expect(under_way).to_have_count(1)
        slow.may_answer.set()
        reader.see_at_last(delivery(reader, "Slow", "delivered"))
        assert slow.heads[0]["webhook-id"] == quick.heads[0]["webhook-id"]
        assert slow.heads[0]["stafett-attempt"] != quick.heads[0]["stafett-attempt"]


def test_it_is_tried_again_later_and_later_until_it_arrives(tab: Tab) -> None:
    reader = tab.reader
    with receiving(500, 500, 200) as receiver:
        add(reader, "Third time lucky", receiver.url(), "Membership Expired")
        emit(reader, "Membership Expired")
        open_delivery(reader, "Third time lucky", "delivered")
        assert [text[:3] for text in attempts(reader)] == ["200", "500", "500"]
        tab.shoot("timeline")
        assert len({each["webhook-id"] for each in receiver.heads}) == 1
        first, second, third = receiver.times
        assert 1 <= second - first < third - second
    reader.go("Webhooks")
    expect(cell(reader, "Third time lucky", "Count")).to_have_text("1")


def test_what_failed_for_good_is_seen_and_sent_again_by_hand(reader: Reader) -> None:
    with receiving(500, 500, 500, 200) as receiver:
        add(reader, "Down", receiver.url(), "Membership Canceled")
        emit(reader, "Membership Canceled")
        open_delivery(reader, "Down", "failed")
        assert [text[:3] for text in attempts(reader)] == ["500", "500", "500"]
        reader.go("Deliveries")
        reader.field("State").select_option(label=reader.say("failed"))
        reader.field("Event").select_option(value="membership_canceled")
        reader.button("Show").click()
        delivery(reader, "Down", "failed").get_by_role("link").first.click()
        reader.button("Send again").click()
        reader.text("It is sent again.").wait_for()
        reader.see_at_last(by_hand(reader))
        assert [text[:3] for text in attempts(reader)] == ["200", "500", "500", "500"]


def by_hand(reader: Reader) -> Locator:
    """The head of an attempt that somebody asked for."""
    return reader.page.get_by_role("heading", name=reader.say("sent again by hand"))


def test_a_receiver_that_asks_for_quiet_gets_it(reader: Reader) -> None:
    with receiving((429, {"retry-after": "6"}), 200) as receiver:
        add(reader, "Busy", receiver.url(), "Invoice Sent")
        emit(reader, "Invoice Sent")
        open_delivery(reader, "Busy", "delivered")
        assert [text[:3] for text in attempts(reader)] == ["200", "429"]
        assert receiver.times[1] - receiver.times[0] >= 6


def test_a_payload_that_lacks_a_field_is_flagged_or_refused_by_its_name(reader: Reader) -> None:
    emit(reader, "Customer Deleted", {"customer_name": "Ada"})
    notice = reader.text("The payload does not fit its schema:")
    notice.wait_for()
    reader.main.get_by_role("listitem").filter(has_text="customer_id").first.wait_for()
    reader.go("Event types")
    reader.page.get_by_role("link", name=reader.event("Customer Deleted"), exact=True).click()
    reader.link("Edit").click()
    reader.field("A payload that does not fit").select_option(label=reader.say("is refused"))
    reader.button("Save event type").click()
    reader.text("Event type saved.").wait_for()
    emit(reader, "Customer Deleted", {"customer_name": "Ada"})
    expect(reader.field("Payload")).to_have_accessible_description(re.compile("customer_id"))
    expect(reader.field("Payload")).to_have_value(re.compile("Ada"))


# --- lists ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three(context: BrowserContext, locale: str) -> list[str]:
    """Webhooks for lists."""
    reader = Reader(context.new_page(), locale)
    reader.page.goto("")
    names = ["List Anna", "List Berit", "List Cecilie"]
    for name, event in zip(
        names, ("Checkout Failed", "Refund Issued", "Refund Issued"), strict=True
    ):
        add(reader, name, f"https://{slug(name).replace('_', '-')}.example/hook", event)
    reader.page.close()
    return names


def found(reader: Reader) -> list[str]:
    """The names in the list, top to bottom."""
    rows = reader.page.get_by_role("row").filter(has=reader.link("Edit"))
    return rows.evaluate_all("rows => rows.map(each => each.querySelector('a').textContent.trim())")


def sees(reader: Reader, names: list[str]) -> None:
    """The list comes to be these."""
    end = time.monotonic() + 10
    while found(reader) != names:
        assert time.monotonic() < end, (found(reader), names)


def search(reader: Reader, text: str = "", **chosen: str) -> None:
    """By what the filters offer: values, not words."""
    reader.go("Webhooks")
    reader.field("Search").fill(text)
    for label, value in chosen.items():
        reader.field(label).select_option(value=value)
    reader.button("Show").click()
    reader.page.wait_for_url("**/webhooks?*text=*")


COLUMNS = (
    *("Name", "Target URL", "Event(s)", "Count"),
    *("Integration", "Active", "Last result", "ID"),
)


def test_the_list_is_sorted_by_every_column_both_ways(reader: Reader, three: list[str]) -> None:
    search(reader, "List ")
    for column in COLUMNS:
        for order in ("ascending", "descending"):
            head = reader.page.get_by_role("columnheader", name=reader.say(column))
            head.get_by_role("link").click()
            expect(head).to_have_attribute("aria-sort", order)
            assert sorted(found(reader)) == three
            if column in {"Name", "Target URL", "ID"}:  # made in the order of their names
                assert found(reader) == sorted(three, reverse=order == "descending")


def test_the_list_is_searched_and_filtered(reader: Reader, three: list[str]) -> None:
    anna, berit, cecilie = three
    search(reader, "list berit")
    sees(reader, [berit])
    search(reader, "list-cecilie.example")
    sees(reader, [cecilie])
    search(reader, "checkout_failed")
    sees(reader, [anna])
    search(reader, "List ", Event="refund_issued")
    sees(reader, [cecilie, berit])
    search(reader, "List ", Integration="manual", Active="yes")
    sees(reader, [cecilie, berit, anna])
    search(reader, "nothing of the kind")
    reader.text("No webhook is like that.").wait_for()


def test_several_are_switched_and_deleted_at_once(reader: Reader) -> None:
    for name in ("Bulk one", "Bulk two", "Bulk three"):
        add(reader, name, "https://example.com/hook", "Site Published")
    for action, active in (("Deactivate", "No"), ("Activate", "Yes")):
        search(reader, "Bulk ")
        reader.field("Choose all").check()
        do(reader, action)
        search(reader, "Bulk ")
        for name in ("Bulk one", "Bulk two", "Bulk three"):
            expect(cell(reader, name, "Active")).to_have_text(reader.say(active))
    reader.field("Choose all").check()
    reader.field("Choose {name}", name="Bulk two").uncheck()
    expect(reader.field("Choose all")).not_to_be_checked()
    do(reader, "Delete", wait=False)
    reader.heading("Delete for good?").wait_for()
    reader.button("Delete").click()
    search(reader, "Bulk ")
    sees(reader, ["Bulk two"])


def do(reader: Reader, action: str, *, wait: bool = True) -> None:
    reader.field("With the chosen ones").select_option(label=reader.say(action))
    reader.button("Do it").click()
    if wait:
        reader.text("Done.").wait_for()


def test_a_delivery_shows_both_sides_and_can_be_copied_and_repeated(reader: Reader) -> None:
    with receiving((200, {"x-shop": "open"})) as receiver:
        add(reader, "Both sides", receiver.url(), "Payment Updated")
        emit(reader, "Payment Updated")
        reader.see_at_last(delivery(reader, "Both sides", "delivered"))
        reader.go("Webhooks")
        reader.link("Deliveries", within=row(reader, "Both sides")).click()
        line = reader.page.get_by_role("row", name="Both sides")
        expect(line).to_have_count(1)
        for text in ("payment_updated", reader.say("delivered"), "200", " ms"):
            expect(line).to_contain_text(text)
        line.get_by_role("link").first.click()
        reader.main.get_by_text(reader.say("Request"), exact=True).click()
        expect(reader.page.get_by_role("row", name="webhook-signature")).to_be_visible()
        expect(reader.page.get_by_role("row", name="x-shop open")).to_be_visible()
        reader.button("Copy").last.click()
        assert json.loads(copied(reader)) == json.loads(receiver.bodies[0])
        reader.button("Send again").click()
        reader.text("It is sent again.").wait_for()
        reader.see_at_last(by_hand(reader))
        assert len(receiver.heads) == 2


def copied(reader: Reader) -> str:
    return reader.page.evaluate("navigator.clipboard.readText()")


def test_the_log_of_events_is_filtered_and_a_payload_viewed(reader: Reader) -> None:
    emit(reader, "Customer Updated", {"customer_id": 4711, "note": "found by its number"})
    reader.page.get_by_role("heading", name="customer_updated").wait_for()
    reader.go("Events")
    reader.field("Event").select_option(value="customer_updated")
    reader.field("Text in the payload").fill("4711")
    reader.field("After (UTC)").fill("2026-01-01T00:00:00")
    reader.button("Show").click()
    reader.page.wait_for_url("**/events?*text=4711*")
    lines = reader.page.get_by_role("row", name="customer_updated")
    expect(lines).to_have_count(1)
    lines.get_by_role("link").first.click()
    reader.page.get_by_text("found by its number").first.wait_for()
    reader.text("Raw").click()
    reader.button("Copy", within=reader.region("Payload")).click()
    assert json.loads(copied(reader))["customer_id"] == 4711
    reader.go("Events")
    reader.field("Before (UTC)").fill("2026-01-01T00:00:00")
    reader.button("Show").click()
    reader.text("No event is like that.").wait_for()


def press_until(reader: Reader, wanted: Locator) -> None:
    """Tab on until it has the focus, as somebody without a mouse must."""
    for _ in range(120):
        reader.page.keyboard.press("Tab")
        if wanted.evaluate("each => each === document.activeElement"):
            return
    raise AssertionError(wanted)


@pytest.mark.parametrize("width", [360, 1280])
def test_a_webhook_is_added_and_tested_by_keyboard_alone(reader: Reader, width: int) -> None:
    name = f"By keyboard {width}"
    page = reader.page
    page.set_viewport_size({"width": width, "height": 740})
    with receiving(200) as receiver:
        press_until(reader, reader.link("Webhooks").first)
        page.keyboard.press("Enter")
        reader.heading("Webhooks").wait_for()
        page.keyboard.press("Tab")
        expect(reader.link("Skip to content")).to_be_focused()
        page.keyboard.press("Enter")
        press_until(reader, reader.link("Add New Webhook").first)
        page.keyboard.press("Enter")
        reader.heading("Add New Webhook").wait_for()
        press_until(reader, reader.field("Name"))
        page.keyboard.type(name)
        press_until(reader, reader.field("URL"))
        page.keyboard.type(receiver.url())
        press_until(reader, reader.field("Search events"))
        page.keyboard.type(reader.event("Site Published").lower())
        press_until(reader, event_box(reader, "Site Published"))
        page.keyboard.press("Space")
        page.keyboard.press("Enter")
        reader.text("Webhook added.").wait_for()
        button = button_of(reader, name)
        press_until(reader, button)
        page.keyboard.press("Enter")
        page.get_by_role("dialog", name=reader.say("Test event sent")).wait_for()
        page.keyboard.press("Escape")
        expect(button).to_be_focused()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_language_is_chosen_and_stays(
    browser: Browser, context: BrowserContext, site: Site, locale: str
) -> None:
    """Whatever the browser asks for."""
    other = next(each for each in LOCALES if each != locale)
    page = browser.new_page(storage_state=context.storage_state(), locale=locale)
    before, after = Reader(page, locale), Reader(page, other)
    page.goto(f"{site.url}/admin/")
    before.go("Webhooks")
    page.get_by_role("button", name=CALLED[other]).click()
    after.link("Add New Webhook").first.click()
    after.heading("Add New Webhook").wait_for()
    page.get_by_role("button", name=CALLED[locale]).click()
    before.heading("Add New Webhook").wait_for()
    page.context.close()


def test_the_menu_of_the_user_closes_by_escape_and_by_a_click_beside_it(reader: Reader) -> None:
    page = reader.page
    opener = page.get_by_text("Kari", exact=True)
    inside = reader.button("Sign out", within=page)
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
    reader: Reader, three: list[str]
) -> None:
    search(reader, "List ")
    reader.field("Choose all").check()
    reader.button("Do it").click()
    action = reader.field("With the chosen ones")
    assert action.evaluate("each => each.validity.valueMissing && each === document.activeElement")
    assert sorted(found(reader)) == list(three)
