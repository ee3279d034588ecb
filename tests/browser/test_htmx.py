"""What htmx does on the pages: parts that are fetched and put in, and what must never come alive.

Beside it stand the walks, which press the same buttons without knowing of it.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect

from admin.conftest import PASSWORD, Person, Site, start, stop
from browser import filled
from browser.conftest import Tab, watch
from browser.cutting import line_to

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    process, made = start(
        tmp_path_factory.mktemp("htmx") / "data",
        STAFETT_RETRY_SCHEDULE="1s",
        STAFETT_ATTEMPT_TIMEOUT="5s",
    )
    yield made
    stop(process)


@pytest.fixture(scope="module")
def owner(site: Site) -> Iterator[Person]:
    person = filled.first_owner(site)
    person.webhook(name="Always there")  # the list of none has nothing to search in
    yield person
    person.client.close()


@pytest.fixture(scope="module")
def context(browser: Browser, site: Site, owner: Person) -> Iterator[BrowserContext]:
    """The owner's browser."""
    made = browser.new_context(locale="en-GB", base_url=f"{site.url}/admin/")
    made.add_cookies(
        [
            {"name": name, "value": value, "url": site.url}
            for name, value in owner.client.cookies.items()
        ]
    )
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, site: Site) -> Iterator[Page]:
    tab = Tab(context.new_page(), site.url)
    watch(tab)
    yield tab.page
    tab.page.close()
    assert tab.odd == []


def stays(page: Page) -> Callable[[], None]:
    """Call what it answers to see that no page was loaded since."""
    page.evaluate("window.stayed = true")

    def check() -> None:
        assert page.evaluate("window.stayed === true")

    return check


def announced(page: Page) -> Locator:
    return page.locator("#announce")


# --- strangers' markup --------------------------------------------------------------------------

_REQUEST = "hx-get=/admin/-/pwned hx-trigger=load"
HOSTILE = (
    f"<div {_REQUEST}></div>",
    f"\"><b {_REQUEST} x='",
    f"'><b {_REQUEST} x=\"",
    f"</code></pre></li></td></table><i {_REQUEST}></i>",
    "<i data-hx-get=/admin/-/pwned data-hx-trigger=load></i>",
    "<i hx-on:htmx:after:init=\"fetch('/admin/-/pwned')\" hx-get=x></i>",
    "<i hx-on=\"load -> fetch('/admin/-/pwned')\"></i>",
    "<i hx-sse:connect=/admin/-/pwned></i><i sse-connect=/admin/-/pwned></i>",
    "<hx-partial hx-target='#main'>pwned</hx-partial>",
    "<template hx type=partial hx-target='#main'>pwned</template>",
    "<p id=main hx-swap-oob=true>pwned</p><p hx-swap-oob='innerHTML:body'>pwned</p>",
    "<script src=/admin/-/pwned></script><img src=/admin/-/pwned>",
    "</template><body hx-boost=true><base href=/admin/-/pwned/>",
    f"\n\ndata: <div {_REQUEST}></div>\n\n",
    "&lt;div hx-get=/admin/-/pwned hx-trigger=load&gt;",
)
"""Each would fetch `pwned`, or show it as a part of the page, were it not only shown as text."""


@pytest.fixture
def asked(page: Page) -> list[str]:
    """Requests that only strangers' markup makes."""
    found: list[str] = []
    page.on("request", lambda each: found.append(each.url) if "pwned" in each.url else None)
    return found


def nothing_lives(page: Page, asked: list[str]) -> None:
    expect(page.locator("#main")).to_have_count(1)
    every = "*"
    alive = page.locator(every).evaluate_all(
        """all => all.filter(each => each.getAttributeNames().some(name =>
            /^(data-)?(hx|sse)-|^on/.test(name) && each.getAttribute(name).includes("pwned")
            || name === "hx-swap-oob")).map(each => each.outerHTML)"""
    )
    assert alive == []
    assert asked == []


@pytest.mark.parametrize("text", HOSTILE)
def test_a_strangers_markup_stays_text_in_a_live_list_and_in_a_dialog(
    page: Page, owner: Person, asked: list[str], text: str
) -> None:
    bin_id, catches = owner.bin()
    flat = " ".join(text.split())
    fields = {"status_code": 200, "headers": f"x-hostile: {flat}", "body": text, "delay": 0}
    owner.do(f"bins/{bin_id}/reply", **fields)
    name = f"Hostile {flat}"
    webhook = owner.webhook(name=name, url=catches)

    page.goto(f"bins/{bin_id}")  # the live list, empty and then with one in it
    for count in (1, 2):
        httpx.post(f"{catches}/{flat}?{flat}", content=text.encode(), headers={"x-hostile": flat})
        expect(page.locator(".captures li")).to_have_count(count)
        nothing_lives(page, asked)

    page.goto(f"webhooks?text={webhook}")
    page.get_by_role("button", name="Send Test Event to ").click()
    dialog = page.get_by_role("dialog", name="Test event sent")
    dialog.get_by_text("Headers of the reply").click()
    expect(dialog.get_by_role("row", name="x-hostile")).to_be_visible()
    nothing_lives(page, asked)
    page.keyboard.press("Escape")
    page.get_by_label("Search").fill(webhook[:-1])
    expect(page).to_have_url(re.compile(rf"text={webhook[:-1]}&"))
    expect(page.get_by_role("link", name="Hostile ")).to_have_count(1)
    nothing_lives(page, asked)
    owner.do(f"webhooks/{webhook}/delete", sure="yes")


def test_a_strangers_markup_in_an_address_stays_text_in_a_live_list(
    page: Page, owner: Person, site: Site, asked: list[str]
) -> None:
    """Written as it is, as no browser would, and without a space, which would end it."""
    bin_id, catches = owner.bin()
    path = catches.removeprefix(site.url)
    page.goto(f"bins/{bin_id}")
    markup = '<i/hx-get="/admin/-/pwned"/hx-trigger="load">'
    for count in (1, 2):
        with socket.create_connection(("127.0.0.1", int(site.url.rpartition(":")[2]))) as line:
            head = f"POST {path}/{markup} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n\r\n"
            line.sendall(head.encode())
            assert line.recv(1_024).startswith(b"HTTP/1.1 200")
        expect(page.locator(".captures li")).to_have_count(count)
        expect(page.locator(".captures li").first).to_contain_text(markup)
        nothing_lives(page, asked)


def test_a_strangers_markup_stays_text_in_names_and_payloads(
    page: Page, owner: Person, asked: list[str]
) -> None:
    every = " ".join(" ".join(each.split()) for each in HOSTILE)
    fields = {"label": every[:200], "description": every, "check": "off", "schema": ""}
    owner.do("event-types", name="hostile", sample=json_of(every), **fields)
    event = owner.emit(json_of(every), event="hostile")
    page.goto("webhooks")
    card = page.locator("details", has_text="hostile").first
    card.locator("summary").click()
    expect(card.locator("pre")).to_be_visible()
    nothing_lives(page, asked)
    page.goto("webhooks/-/new")
    page.check("input[value=hostile]")
    expect(page.locator("#event-card pre")).to_be_visible()
    nothing_lives(page, asked)
    for path in ("events", f"events/{event}", "event-types", "event-types/hostile"):
        page.goto(path)
        nothing_lives(page, asked)


def json_of(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{{"field": "{quoted}"}}'


@pytest.mark.parametrize(
    "attributes",
    [
        'hx-on:click="window.ran = 1"',
        'hx-on="click -> window.ran = 1"',
        'hx-get=webhooks hx-trigger="click[window.ran = 1]"',
        'hx-get=webhooks hx-vals="js:{a: window.ran = 1}"',
        'hx-get="js:window.ran = 1"',
    ],
)
def test_code_in_an_attribute_is_not_run(context: BrowserContext, attributes: str) -> None:
    """Were one to get into a page all the same: not even tried, whatever the policy says."""
    page = context.new_page()
    page.goto("webhooks")
    told: list[str] = []
    page.on("console", lambda each: told.append(each.text))
    page.on("pageerror", lambda each: told.append(str(each)))
    page.evaluate(
        """attributes => {
            const box = document.createElement("div");
            box.innerHTML = `<button type=button id=one ${attributes}>One</button>`;
            document.getElementById("main").append(box);
            htmx.process(box);
        }""",
        attributes,
    )
    page.click("#one")
    page.wait_for_function("() => true")
    assert page.evaluate("window.ran") is None
    assert any("a page holds no code" in each for each in told)
    assert not any("Content Security Policy" in each for each in told)
    page.close()


# --- lists --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three(owner: Person) -> Iterator[list[str]]:
    """Webhooks for lists; their names."""
    names = ["Anna", "Berit", "Cecilie"]
    made = [
        owner.webhook(name=f"Roster {each}", url=f"https://{each.lower()}.example/hook")
        for each in names
    ]
    yield names
    for each in made:
        owner.send(f"webhooks/{each}/delete", sure="yes")


def listed(page: Page) -> Locator:
    return page.locator("#list tbody tr")


@pytest.mark.usefixtures("three")
def test_a_list_is_searched_as_one_types_and_the_address_says_it(page: Page) -> None:
    page.goto("webhooks")
    check = stays(page)
    field = page.get_by_label("Search")
    field.press_sequentially("roster b", delay=20)
    expect(listed(page)).to_have_count(1)
    expect(announced(page)).to_have_text("1 webhooks")
    expect(page).to_have_url(re.compile(r"text=roster\+b&"))
    expect(field).to_be_focused()
    field.press_sequentially("x")
    page.get_by_text("No webhook is like that.").wait_for()
    check()
    page.go_back()
    expect(listed(page)).to_have_count(1)
    expect(page.get_by_label("Search")).to_have_value("roster b")
    page.reload()
    expect(listed(page)).to_have_count(1)


@pytest.mark.usefixtures("three")
def test_a_list_is_sorted_where_it_stands_and_stays_so_when_searched(page: Page) -> None:
    page.goto("webhooks?text=Roster")
    check = stays(page)
    head = page.get_by_role("columnheader", name="Name")
    for order in ("ascending", "descending"):
        page.get_by_role("link", name="Name", exact=False).first.focus()
        head.get_by_role("link").press("Enter")
        expect(head).to_have_attribute("aria-sort", order)
        expect(head.get_by_role("link")).to_be_focused()
    page.get_by_label("Search").fill("roster ")
    expect(page).to_have_url(re.compile(r"sort=-name&text=roster\+&"))
    expect(listed(page).first).to_contain_text("Roster Cecilie")
    check()


@pytest.mark.usefixtures("three")
def test_what_was_ticked_is_not_ticked_in_another_list(page: Page) -> None:
    page.goto("webhooks?text=Roster")
    page.get_by_label("Choose all").check()
    page.get_by_role("columnheader", name="Name").get_by_role("link").click()
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute(
        "aria-sort", "ascending"
    )
    expect(page.locator("#list :checked[name=webhook]")).to_have_count(0)
    page.get_by_label("Choose all").check()
    expect(page.locator("#list :checked[name=webhook]")).to_have_count(3)


def test_nothing_ticked_is_said(page: Page, three: list[str]) -> None:
    page.goto("webhooks")
    page.get_by_label("With the chosen ones").select_option(label="Delete")
    page.get_by_role("button", name="Do it").click()
    page.get_by_text("Nothing was done: tick the webhooks first.").wait_for()
    assert three


def test_a_log_is_paged_where_it_stands(page: Page, owner: Person) -> None:
    for _ in range(51):
        owner.emit(event="site_published")
    page.goto("events?event=site_published")
    check = stays(page)
    expect(listed(page)).to_have_count(50)
    page.get_by_role("link", name="Older").click()
    expect(listed(page)).to_have_count(1)
    expect(announced(page)).to_have_text("1 shown")
    expect(page.locator("#list")).to_be_focused()
    page.get_by_role("link", name="Newest").click()
    expect(listed(page)).to_have_count(50)
    check()


def test_a_field_that_cannot_be_is_marked_without_a_page_being_loaded(page: Page) -> None:
    page.goto("events")
    check = stays(page)
    page.get_by_label("Text in the payload").evaluate("each => { each.form.noValidate = true }")
    page.get_by_label("After (UTC)").evaluate("each => { each.type = 'text' }")
    page.get_by_label("After (UTC)").fill("yesterday")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_label("After (UTC)")).to_have_accessible_description(
        re.compile("must be a time", re.IGNORECASE)
    )
    expect(announced(page)).to_have_text(re.compile("Nothing is shown"))
    check()


# --- the catalogue below the list ---------------------------------------------------------------


def test_an_event_is_fetched_when_it_is_opened_and_once(page: Page) -> None:
    page.goto("webhooks")
    fetched: list[str] = []
    page.on("request", lambda each: fetched.append(each.url) if "/-/card" in each.url else None)
    card = page.get_by_role("group").filter(has_text="payment_received").first
    for count in (1, 0, 1):
        card.locator("summary").click()
        expect(card.get_by_role("columnheader", name="Example")).to_have_count(count)
    assert len(fetched) == 1


def test_without_script_an_event_has_a_page(
    browser: Browser, site: Site, context: BrowserContext
) -> None:
    plain = browser.new_context(
        java_script_enabled=False, storage_state=context.storage_state(), locale="en-GB"
    )
    page = plain.new_page()
    page.goto(f"{site.url}/admin/webhooks")
    card = page.get_by_role("group").filter(has_text="payment_received").first
    card.locator("summary").click()
    card.get_by_role("link").click()
    page.get_by_role("heading", level=1, name="Payment Received").wait_for()
    expect(page.get_by_role("columnheader", name="Example")).to_be_visible()
    plain.close()


# --- answers that are none ----------------------------------------------------------------------


def failing(page: Page, path: str, **answer: Any) -> None:
    def answers(route: Route) -> None:
        if answer:
            route.fulfill(**answer)
        else:
            route.abort()

    page.route(re.compile(path), answers)


def test_an_error_is_a_notice_and_put_nowhere(page: Page, owner: Person) -> None:
    webhook = owner.webhook(name="Gone meanwhile")
    page.goto(f"webhooks?text={webhook}")
    check = stays(page)
    owner.do(f"webhooks/{webhook}/delete", sure="yes")
    button = page.get_by_role("button", name="Send Test Event to Gone meanwhile")
    button.click()
    page.get_by_role("alert").get_by_text("there is no endpoint", exact=False).wait_for()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(button).to_be_enabled()
    expect(button).to_have_text("Send Test Event")
    check()


def test_a_lost_network_is_told_and_forgotten_when_it_is_back(page: Page) -> None:
    page.goto("webhooks")
    failing(page, r"text=nothing")
    page.get_by_label("Search").fill("nothing")
    page.get_by_role("alert").get_by_text("The server cannot be reached.").wait_for()
    page.unroute_all()
    page.get_by_label("Search").fill("something")
    page.get_by_text("No webhook is like that.").wait_for()
    expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize("status", [200, 502])
def test_a_page_of_somebody_else_is_put_nowhere(page: Page, status: int) -> None:
    page.goto("webhooks")
    before = listed(page).count()
    stranger = f"<html><body><h1>Please pay</h1><p hx-get=/admin/pwned>{status}</p></body></html>"
    failing(page, r"text=nothing", status=status, content_type="text/html", body=stranger)
    page.get_by_label("Search").fill("nothing")
    page.get_by_role("alert").get_by_text("something else than this page expected").wait_for()
    assert listed(page).count() == before
    expect(page).not_to_have_url(re.compile("text=nothing"))
    expect(page.get_by_text("Please pay")).to_have_count(0)


def test_who_was_signed_out_meanwhile_gets_the_whole_form_to_sign_in(
    browser: Browser, site: Site, owner: Person
) -> None:
    owner.webhook()  # with none there would be nothing to search
    email = "once@example.com"
    owner.do("settings/users", email=email, name="Once", password=PASSWORD, role="viewer")
    context = browser.new_context(locale="en-GB", base_url=f"{site.url}/admin/")
    page = context.new_page()
    page.goto("webhooks")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Webhooks", exact=True).wait_for()
    context.clear_cookies()
    page.get_by_label("Search").fill("anything")
    page.get_by_role("heading", name="Sign in").wait_for()
    expect(page.get_by_role("navigation", name="Main")).to_have_count(0)
    context.close()


# --- the live list ------------------------------------------------------------------------------


def test_a_live_list_goes_on_after_the_line_was_cut_and_shows_nothing_twice(
    context: BrowserContext, owner: Person, site: Site
) -> None:
    bin_id, catches = owner.bin()
    httpx.post(catches, content=b"first")
    page = context.new_page()
    rows = page.locator(".captures li")
    resumed: list[str | None] = []
    page.on(
        "request",
        lambda each: (
            resumed.append(each.headers.get("last-event-id")) if "/live" in each.url else None
        ),
    )
    with line_to(site.url) as line:
        page.goto(f"{line.url}/admin/bins/{bin_id}")
        httpx.post(catches, content=b"second")
        expect(rows).to_have_count(2)
        expect(announced(page)).to_have_text("A request arrived")
        line.cut()
        page.get_by_role("alert").get_by_text("The server cannot be reached.").wait_for()
        httpx.post(catches, content=b"third")
        line.mend()
        expect(rows).to_have_count(3, timeout=30_000)
        httpx.post(catches, content=b"fourth")
        expect(rows).to_have_count(4)
        expect(page.get_by_role("alert")).to_have_count(0)
        numbers = [each.get_attribute("data-number") for each in rows.all()]
        page.close()
    assert numbers == ["4", "3", "2", "1"]
    assert resumed[0] is None
    assert set(resumed[1:]) == {"2"}


def test_what_arrives_while_nobody_looks_is_counted_in_the_title(page: Page, owner: Person) -> None:
    bin_id, catches = owner.bin()
    page.goto(f"bins/{bin_id}")
    page.get_by_text("Waiting for the first request").wait_for()
    title = page.title()
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    httpx.post(catches, content=b"first")
    page.get_by_role("region", name="Request").get_by_text("first").first.wait_for()
    expect(page.get_by_text("Waiting for the first request")).to_have_count(0)
    httpx.post(catches, content=b"second")
    expect(page.locator(".captures li")).to_have_count(2)
    expect(page).to_have_title(f"(2) {title}")
    page.evaluate(
        """() => {
            Object.defineProperty(document, 'hidden', {value: false});
            document.dispatchEvent(new Event('visibilitychange'));
        }"""
    )
    expect(page).to_have_title(title)


def test_a_bin_that_is_deleted_meanwhile_says_so(page: Page, owner: Person) -> None:
    bin_id, _ = owner.bin()
    with page.expect_response("**/live*"):
        page.goto(f"bins/{bin_id}")
    owner.do(f"bins/{bin_id}/delete", sure="yes")
    page.get_by_role("heading", name="Not possible").wait_for(timeout=60_000)


# --- what goes on by itself ---------------------------------------------------------------------


def test_a_delivery_is_followed_to_its_end(page: Page, owner: Person) -> None:
    bin_id, catches = owner.bin()
    owner.do(f"bins/{bin_id}/reply", status_code=503, headers="", body="", delay=0)
    webhook = owner.webhook(name="Followed", url=catches, event_types="domain_removed")
    event = owner.emit(event="domain_removed")
    page.goto(f"deliveries/{event}/{webhook}")
    check = stays(page)
    expect(page.locator(".head .state")).to_have_text("failed", timeout=30_000)
    expect(page.get_by_role("heading", name="503")).to_have_count(2)
    expect(page.locator("#delivery")).not_to_have_attribute("hx-trigger", re.compile("every"))
    check()
    owner.do(f"bins/{bin_id}/reply", status_code=200, headers="", body="", delay=0)
    page.goto(f"webhooks/{webhook}")
    page.locator("form[action$='/recover'] button").click()
    page.get_by_role("button", name="Send 1 again").click()
    page.wait_for_url("**/deliveries?*")
    check = stays(page)
    expect(listed(page).first).to_contain_text("delivered", timeout=30_000)
    expect(page.locator("#list .notice")).to_have_text("Everything has been tried.")
    expect(announced(page)).to_have_text("Everything has been tried.")
    assert page.evaluate("document.activeElement === document.body")  # it took no focus
    expect(page.locator("#list")).not_to_have_attribute("hx-trigger", re.compile("every"))
    check()


def test_what_a_signature_is_worth_is_told_once_its_attempt_is_recorded(
    page: Page, owner: Person
) -> None:
    bin_id, catches = owner.bin()
    owner.do(f"bins/{bin_id}/reply", status_code=200, headers="", body="", delay=3000)
    owner.webhook(name="Slow bin", url=catches, event_types="domain_created")
    page.goto(f"bins/{bin_id}")
    page.get_by_text("Waiting for the first request").wait_for()
    check = stays(page)
    owner.emit(event="domain_created")
    page.get_by_role("region", name="Request").wait_for()
    expect(page.get_by_text("Open the delivery")).to_have_count(0)
    page.get_by_text("Body", exact=True).first.wait_for()
    page.locator("summary", has_text="Hex").click()
    page.get_by_text("Open the delivery").wait_for(timeout=30_000)
    expect(page.locator("details", has_text="Hex")).to_have_attribute("open", "")
    expect(page.locator("#capture")).not_to_have_attribute("hx-trigger", re.compile("every"))
    check()
