"""A new user's first hour, from the link that a fresh server prints to a real event counted.

One walk, in both languages, step by step as it is promised; each step leaves a picture.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Locator, Route, expect

from admin.conftest import PASSWORD, Site
from browser.conftest import Tab, watch
from browser.reading import Reader
from stafett import catalog

pytestmark = pytest.mark.slow

REAL = {"payment_id": 90210, "payment_status": "completed", "payment_amount": "349.00"}

_ALL = catalog.load("multisite", now=datetime.fromtimestamp(0, UTC))
OFFERED = [each for each in _ALL if not each.archived]
PAID = next(each for each in OFFERED if each.name == "payment_received")


def test_from_the_first_link_to_a_counted_event(tab: Tab, fresh: Site) -> None:
    reader = tab.reader
    become_owner(reader, fresh)
    tab.shoot("01-signed-in")
    see_that_there_is_nothing_but_events(reader)
    tab.shoot("02-no-webhooks")
    look_at_a_payload(reader)
    tab.shoot("03-payload")
    look_at_the_form(reader)
    tab.shoot("04-form")
    beside = replace(tab, page=tab.page.context.new_page())  # what it does odd counts too
    watch(beside)
    catches = make_a_bin(reader, beside)
    beside.shoot("05-waiting")
    add_the_webhook(reader, catches)
    tab.shoot("06-added")
    send_a_test_event(reader, lambda: tab.shoot("07-sending"))
    tab.shoot("08-verdict")
    close_the_verdict(reader)
    see_the_test_event_arrive(beside.reader)
    beside.shoot("09-bin")
    emit_from_a_shell(fresh)
    see_the_real_event_arrive(beside.reader)
    beside.shoot("10-real-event")
    see_it_counted(reader)
    tab.shoot("11-counted")
    see_the_delivery(reader)
    tab.shoot("12-delivery")


# --- step 1 ---------------------------------------------------------------------------------------


def become_owner(reader: Reader, site: Site) -> None:
    reader.page.goto(site.setup_link)
    reader.field("E-mail address").fill("kari@example.com")
    reader.field("Name").fill("Kari")
    reader.field("Password").fill(PASSWORD)
    reader.button("Make the owner and sign in").click()
    reader.heading("Overview").wait_for()


def see_that_there_is_nothing_but_events(reader: Reader) -> None:
    reader.go("Webhooks")
    expect(
        reader.text(
            "A webhook tells another application that something happened here, the moment it"
            " happens."
        )
    ).to_be_visible()
    expect(reader.heading("No webhooks yet")).to_be_visible()
    # One in the head of the page, one in the empty list.
    expect(reader.link("Add New Webhook", within=reader.main)).to_have_count(2)
    titles = reader.region("Available events").get_by_role("group").all_inner_texts()
    assert sorted(titles) == sorted(
        f"{reader.event(each.label)} {each.name} — {reader.event(each.description)}"
        for each in OFFERED
    )


# --- steps 2 and 3 --------------------------------------------------------------------------------


def look_at_a_payload(reader: Reader) -> None:
    events = reader.region("Available events").get_by_role("group")
    paid = events.filter(has_text=re.compile(r"\bpayment_received\b"))
    paid.get_by_text(reader.event(PAID.label), exact=True).click()
    for heading in ("Field", "Type", "Example"):
        expect(
            paid.get_by_role("columnheader", name=reader.say(heading), exact=True)
        ).to_be_visible()
    expect(paid.get_by_role("row", name=re.compile("payment_id.*integer.*412"))).to_be_visible()
    reader.button("Copy", within=paid).click()
    sample = json.loads(reader.page.evaluate("navigator.clipboard.readText()"))
    assert sample["payment_id"] == 412
    expect(reader.button("Copied", within=paid)).to_be_visible()


def look_at_the_form(reader: Reader) -> None:
    reader.link("Add New Webhook", within=reader.main).first.click()
    reader.heading("Add New Webhook").wait_for()
    expect(reader.field("Name")).to_be_editable()
    expect(reader.field("URL")).to_be_editable()
    expect(reader.field("Active")).to_be_checked()
    choices = reader.page.get_by_role("group", name=reader.say("Event"), exact=True)
    boxes = choices.get_by_role("checkbox")
    before = boxes.filter(visible=True).count()
    assert choices.get_by_role("group").count() > 1
    choices.get_by_role("searchbox").fill(reader.event(PAID.label).lower())
    expect(boxes.filter(visible=True)).to_have_count(2)  # all events, and the one
    assert before > 2
    event_box(reader).check()
    label = reader.page.get_by_role("heading", name=reader.event(PAID.label), exact=True)
    expect(label).to_be_visible()
    expect(reader.heading("Sample")).to_be_visible()
    expect(
        reader.page.get_by_role("paragraph").filter(has_text=reader.event(PAID.description))
    ).to_be_visible()


def event_box(reader: Reader) -> Locator:
    return reader.page.get_by_role("checkbox", name=f"{reader.event(PAID.label)} {PAID.name}")


# --- steps 4 and 5 --------------------------------------------------------------------------------


def make_a_bin(reader: Reader, beside: Tab) -> str:
    """In a second tab, by the link beside the URL; where the bin catches."""
    way = reader.link("No receiver yet? Make a request bin and use its URL.")
    beside.page.goto(f"{beside.base}{way.get_attribute('href')}")
    beside.reader.button("Create request bin").click()
    beside.reader.heading("Waiting for the first request").wait_for()
    url = beside.page.get_by_role("code").filter(has_text="/in/").inner_text()
    beside.reader.button("Copy").first.click()
    assert beside.page.evaluate("navigator.clipboard.readText()") == url
    address = beside.page.url
    have_it_answer(beside.reader, "Thank you!")
    beside.page.goto(address)
    beside.reader.heading("Waiting for the first request").wait_for()
    return url


def have_it_answer(reader: Reader, words: str) -> None:
    reader.text("What it answers: {status}", status=200).click()
    reader.field("Body").fill(words)
    reader.button("Save reply").click()
    expect(reader.page.get_by_role("status")).to_have_text(reader.say("Reply saved."))


def add_the_webhook(reader: Reader, catches: str) -> None:
    reader.page.bring_to_front()
    reader.field("Name").fill("Mailing list")
    reader.field("URL").fill(catches)
    expect(event_box(reader)).to_be_checked()
    reader.button("Add New Webhook").click()
    expect(reader.page.get_by_role("status")).to_have_text(reader.say("Webhook added."))
    expect(reader.page.get_by_role("heading", level=1)).to_have_text(reader.say("Webhooks"))
    for column, value in {
        "Event(s)": reader.event(PAID.label),
        "Count": "0",
        "Integration": reader.say("Manual"),
        "Active": reader.say("Yes"),
    }.items():
        expect(cell(reader, column)).to_have_text(value)
    address = row(reader).get_by_title(catches, exact=True)
    expect(address).to_have_text(catches)
    assert address.evaluate("each => each.scrollWidth > each.clientWidth")  # it is cut


def row(reader: Reader) -> Locator:
    return reader.page.get_by_role("row").filter(
        has=reader.page.get_by_role("link", name="Mailing list", exact=True)
    )


def cell(reader: Reader, column: str) -> Locator:
    """What stands in the webhook's row below a heading."""
    heads = reader.page.get_by_role("columnheader").all_inner_texts()
    at = next(i for i, text in enumerate(heads) if text.startswith(reader.say(column)))
    return row(reader).get_by_role("cell").nth(at)


# --- steps 6 and 7 --------------------------------------------------------------------------------


def send_a_test_event(reader: Reader, meanwhile: Callable[[], None]) -> None:
    for action in ("Edit", "Deliveries"):
        expect(reader.link(action, within=row(reader))).to_be_visible()
    expect(reader.button("Delete {name}", within=row(reader), name="Mailing list")).to_be_visible()
    button = sends_test(reader)
    expect(button).to_have_text(reader.say("Send Test Event"))
    tests = re.compile(r"/webhooks/[^/]+/test$")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    reader.page.route(tests, hold)
    with reader.page.expect_request(tests):
        button.click()
    expect(button).to_have_text(reader.say("Sending test…"))
    expect(button).to_be_disabled()
    meanwhile()
    held[0].continue_()
    dialog = reader.page.get_by_role("dialog", name=reader.say("Test event sent"))
    expect(dialog.get_by_role("status")).to_have_text(re.compile(r"200.* \d+ ms"))
    expect(dialog.get_by_label(reader.say("Reply"), exact=True)).to_have_text("Thank you!")
    expect(reader.link("Open the delivery", within=dialog)).to_be_visible()
    expect(reader.button("Copy", within=dialog)).to_be_visible()


def sends_test(reader: Reader) -> Locator:
    return reader.button("Send Test Event to {name}", name="Mailing list")


def close_the_verdict(reader: Reader) -> None:
    dialog = reader.page.get_by_role("dialog")
    reader.link("Close", within=dialog).click()
    expect(dialog).to_have_count(0)
    expect(sends_test(reader)).to_be_focused()
    expect(sends_test(reader)).to_be_enabled()
    expect(sends_test(reader)).to_have_text(reader.say("Send Test Event"))


# --- steps 8 and 10 -------------------------------------------------------------------------------


def see_the_test_event_arrive(reader: Reader) -> None:
    """Without touching the bin's tab: what came shows by itself."""
    reader.page.bring_to_front()
    caught = reader.region("Request")
    expect(caught.get_by_role("heading", level=2)).to_have_text(re.compile(r"^POST /"))
    expect(reader.heading("Waiting for the first request")).to_have_count(0)
    for name, value in {
        "content-type": "application.json",
        "user-agent": "Stafett",
        "webhook-id": "msg_",
        "webhook-timestamp": r"\d{10}",
        "webhook-signature": "v1,",
        "stafett-test": "true",
    }.items():
        expect(caught.get_by_role("row", name=re.compile(f"^{name} {value}"))).to_have_count(1)
    reader.text("the signature holds", within=caught).wait_for()  # once it is recorded
    expect(reader.text("test event", within=caught)).to_be_visible()
    body = caught.get_by_label(reader.say("Body"), exact=True).inner_text()
    assert body.startswith('{\n  "payment_id": 412,\n')
    assert json.loads(body)["payment_status"] == "completed"


def emit_from_a_shell(site: Site) -> None:
    """As an operator does, on the machine of the server and in its folder."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("STAFETT_")}
    done = subprocess.run(
        (
            *(sys.executable, "-m", "stafett", "emit", "payment_received", "--wait"),
            *("--data", json.dumps(REAL)),
        ),
        env=kept | {"STAFETT_DATA": str(site.data)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def see_the_real_event_arrive(reader: Reader) -> None:
    arrived = reader.main.get_by_role("listitem").filter(has_text="#2")
    arrived.get_by_role("link").click()
    caught = reader.region("Request")
    expect(caught).to_contain_text("#2")
    body = caught.get_by_label(reader.say("Body"), exact=True).inner_text()
    assert json.loads(body) == REAL
    expect(caught.get_by_role("row", name=re.compile("^webhook-id msg_"))).to_have_count(1)
    expect(caught.get_by_role("row", name=re.compile("^stafett-test"))).to_have_count(0)
    expect(caught.get_by_text(reader.say("test event"), exact=True)).to_have_count(0)


def see_it_counted(reader: Reader) -> None:
    reader.page.bring_to_front()
    reader.go("Webhooks")
    expect(cell(reader, "Count")).to_have_text("1")


def see_the_delivery(reader: Reader) -> None:
    reader.link("Deliveries", within=row(reader)).click()
    reader.heading("Deliveries").wait_for()
    lines = reader.main.get_by_role("row").filter(has_text="payment_received")
    expect(lines).to_have_count(2)
    tested = lines.filter(has_text=reader.say("test event"))
    expect(tested).to_have_count(1)
    real = lines.filter(has_not_text=reader.say("test event"))
    expect(real).to_contain_text(reader.say("delivered"))
    real.get_by_role("link").first.click()
    reader.heading("Attempts").wait_for()
    body = reader.main.get_by_label(reader.say("Payload"), exact=True).inner_text()
    assert json.loads(body) == REAL
    expect(reader.main.get_by_text(reader.say("test event"), exact=True)).to_have_count(0)
