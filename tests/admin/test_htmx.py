"""What the server does for htmx: who may ask, what a part of a page is answered, what is a part."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from importlib import resources

import httpx
import pytest

from admin.conftest import Person, Site
from admin.reading import Element, read
from making import NOW
from stafett.ids import AppId, DeliveryId, EndpointId, MessageId
from stafett.model import Delivery, DeliveryState
from stafett.web.admin import render, view_events

HTMX = {"hx-request": "true"}
POWERS = re.compile(r"(data-)?(hx|sse)-|on")
"""What the names of attributes begin with that make an element do something."""
HOSTILE = (
    "<i hx-get=/pwned hx-trigger=load>",
    "\"><i hx-get=/pwned hx-trigger=load x='",
    "'><i hx-get=/pwned hx-trigger=load x=\"",
    "</script></template></textarea><i hx-on=\"load -> alert('pwned')\">",
    "<i hx-sse:connect=/pwned sse-connect=/pwned data-hx-get=/pwned>",
    "<hx-partial hx-target='#main'>pwned</hx-partial>",
    "<p id=main hx-swap-oob=true>pwned",
)


# --- the page around it -------------------------------------------------------------------------


def test_htmx_is_told_to_make_no_code_and_no_style(owner: Person) -> None:
    meta = read(owner.see("webhooks")).one("meta", name="htmx-config")
    config = json.loads(meta["content"])
    assert config["includeIndicatorCSS"] is False
    assert config["prefix"] == ""
    assert config["mode"] == "same-origin"
    assert "no-code" in config["extensions"]
    script = render.static_file("admin.js") or b""
    assert b'registerExtension("no-code"' in script


def test_htmx_comes_before_our_script_and_both_wait_for_the_page(owner: Person) -> None:
    scripts = read(owner.see("webhooks")).all("script")
    names = [each["src"].rpartition("/")[2] for each in scripts]
    assert names.index("htmx.js") < names.index("admin.js")
    assert all(each.has("defer") and not each.text for each in scripts)
    for each in scripts:
        answer = owner.client.get(inner(each["src"]))
        assert answer.headers["content-type"].startswith("text/javascript")


def templates() -> Iterator[tuple[str, str]]:
    for file in (resources.files("stafett.web.admin") / "templates").iterdir():
        yield file.name, file.read_text(encoding="utf-8")


def test_no_template_holds_code_in_an_attribute() -> None:
    for name, text in templates():
        assert "hx-on" not in text, name
        assert not re.search(r"""=["']?(js|javascript):""", text), name
        assert not re.search(r"""hx-trigger[^"'>]*=("|')[^"']*\w\[""", text), name


# --- who may ask --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        HTMX | {"sec-fetch-site": "cross-site"},
        HTMX | {"sec-fetch-site": "same-site"},
        HTMX | {"origin": "http://evil.example"},
        HTMX | {"host": "evil.example"},
        {"accept": "text/html, text/event-stream", "sec-fetch-site": "cross-site"},
        {"accept": "text/html, text/event-stream"},
    ],
)
def test_a_part_is_not_for_a_page_elsewhere(
    site: Site, owner: Person, headers: dict[str, str]
) -> None:
    with httpx.Client(base_url=f"{site.url}/admin/", cookies=owner.client.cookies) as client:
        assert client.get("webhooks", headers=headers).status_code == 403
        form = {"csrf": owner.token()}
        assert client.post("bins", data=form, headers=headers).status_code == 403


@pytest.mark.parametrize("headers", [HTMX, HTMX | {"sec-fetch-site": "same-origin"}])
def test_a_page_of_ours_may_ask_also_where_browsers_name_no_site(
    site: Site, owner: Person, headers: dict[str, str]
) -> None:
    """Without TLS they say neither the site nor, when they read from it, the origin."""
    with httpx.Client(base_url=f"{site.url}/admin/", cookies=owner.client.cookies) as client:
        accepting = headers | {"accept": "text/html, text/event-stream"}
        assert client.get("webhooks", headers=accepting).status_code == 200


def test_the_header_of_htmx_takes_the_place_of_nothing_else(site: Site, owner: Person) -> None:
    with httpx.Client(base_url=f"{site.url}/admin/", cookies=owner.client.cookies) as client:
        form = {"csrf": owner.token()}
        assert client.post("bins", data=form, headers=HTMX).status_code == 403  # no origin
        ours = HTMX | {"origin": site.url}
        assert client.post("bins", data={"csrf": "0" * 32}, headers=ours).status_code == 403
        assert client.post("bins", data=form, headers=ours).status_code == 303


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_stranger_who_wants_a_part_is_shown_the_whole_page(
    site: Site, owner: Person, method: str
) -> None:
    assert owner  # somebody can sign in
    answer = Person(site).client.request(method, "webhooks", headers=HTMX)
    assert answer.status_code == 401
    assert answer.headers["hx-refresh"] == "true"
    assert answer.content == b""


# --- parts --------------------------------------------------------------------------------------


def inner(path: str) -> str:
    """Below the admin, as a person's client takes it."""
    return path.removeprefix("/admin/")


def part(html: str, name: str) -> Element:
    """The only one with that id."""
    return read(html).one(id=name)


@pytest.mark.parametrize("path", ["webhooks", "deliveries", "events", "event-types"])
def test_a_list_and_its_filters_can_be_put_in_alone(owner: Person, path: str) -> None:
    owner.webhook()
    owner.emit()
    for query in ("", "?text=nothing-like-that&event=none"):
        html = owner.see(path + query)
        assert part(html, "list")["data-said"]
        form = part(html, "filters")
        assert form["hx-get"].endswith(path)
        assert form["action"] == form["hx-get"]


def test_what_is_wrong_in_a_filter_is_in_the_parts_that_are_put_in(owner: Person) -> None:
    html = owner.see("events?after=yesterday", status=422)
    assert part(html, "after")["aria-invalid"] == "true"
    assert part(html, "filters").one(id="after-problem").text
    assert "look at the fields" in part(html, "list")["data-said"]


def test_the_foot_of_the_webhooks_has_links_and_not_the_whole_catalogue(owner: Person) -> None:
    html = owner.see("webhooks")
    cards = [each for each in read(html).all("details") if each.has("hx-get")]
    assert len(cards) > 30
    assert len(html) < 100_000
    for each in (cards[0], cards[-1]):
        link = each.one(**{"class": "fields"}).one("a")
        assert owner.client.get(inner(link["href"])).status_code == 200
        card = part(owner.client.get(inner(each["hx-get"])).text, "main")
        assert card.one(**{"class": "fields"}).one("pre").text


def test_what_is_sent_again_is_counted_down(owner: Person) -> None:
    bin_id, catches = owner.bin()
    owner.do(f"bins/{bin_id}/reply", status_code=410, headers="", body="", delay=0)
    webhook = owner.webhook(url=catches, event_types="domain_removed")
    owner.emit(event="domain_removed")
    owner.see_once(f"deliveries?endpoint={webhook}", 'class="state failed"')
    owner.do(f"bins/{bin_id}/reply", status_code=200, headers="", body="", delay=0)
    owner.do(f"webhooks/{webhook}/switch", to="on")
    where = owner.do(f"webhooks/{webhook}/recover", hours="1", sure="yes")
    assert part(owner.see(where), "list")["hx-trigger"] == "every 2s"
    html = owner.see_once(f"deliveries?endpoint={webhook}", 'class="state succeeded"')
    assert not part(html, "list").has("hx-trigger")
    asked = owner.client.get(where, headers=HTMX).text
    assert "Everything has been tried." in part(asked, "list").text
    assert not part(asked, "list").has("hx-trigger")


def a_delivery(state: DeliveryState, due_in: int | None) -> Delivery:
    return Delivery(
        id=DeliveryId("dlv_"),
        message_id=MessageId("msg_"),
        app_id=AppId("app_"),
        endpoint_id=EndpointId("ep_"),
        state=state,
        test=False,
        attempt_count=0,
        due_at=None if due_in is None else NOW + timedelta(seconds=due_in),
        last_status_code=None,
        last_cause=None,
        note=None,
        created_at=NOW,
        updated_at=NOW,
    )


@pytest.mark.parametrize(
    ("states", "seconds"),
    [
        ([], None),
        ([(DeliveryState.SUCCEEDED, None), (DeliveryState.FAILED, None)], None),
        ([(DeliveryState.CANCELED, None), (DeliveryState.SENDING, None)], 2),
        ([(DeliveryState.PENDING, 0)], 2),
        ([(DeliveryState.PENDING, 59)], 2),
        ([(DeliveryState.PENDING, 61), (DeliveryState.SUCCEEDED, None)], 30),
        ([(DeliveryState.PENDING, -61)], 30),
        ([(DeliveryState.PENDING, 7_200), (DeliveryState.PENDING, 3)], 2),
    ],
)
def test_how_soon_a_page_looks_again(
    states: list[tuple[DeliveryState, int | None]], seconds: int | None
) -> None:
    found = [a_delivery(state, due_in) for state, due_in in states]
    assert view_events.look_again(found, NOW) == seconds


def test_what_has_ended_is_not_looked_at_again(owner: Person) -> None:
    webhook = owner.webhook(url="http://127.0.0.1:65533/nobody", event_types="domain_removed")
    event = owner.emit(event="domain_removed")
    owner.see_once(f"deliveries/{event}/{webhook}", "/cancel")
    assert part(owner.see(f"deliveries/{event}/{webhook}"), "delivery").has("hx-trigger")
    assert part(owner.see(f"events/{event}"), "destinations").has("hx-trigger")
    owner.see_once(f"deliveries/{event}/{webhook}", "next try in")  # it can be canceled now
    owner.do(f"deliveries/{event}/{webhook}/cancel")
    assert not part(owner.see(f"deliveries/{event}/{webhook}"), "delivery").has("hx-trigger")
    assert not part(owner.see(f"events/{event}"), "destinations").has("hx-trigger")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"action": "delete"}, "tick the webhooks first"),
        ({"webhook": "ep_x"}, "choose what to do"),
        ({}, "tick the webhooks first"),
    ],
)
def test_nothing_ticked_or_nothing_chosen_is_said(
    owner: Person, fields: dict[str, str], words: str
) -> None:
    assert words in owner.see(owner.do("webhooks/-/several", **fields))


# --- strangers' markup --------------------------------------------------------------------------


def alive(html: str) -> list[str]:
    """Elements that do something and have to do with a stranger's text."""
    return [
        each.tag
        for each in read(html).walk()
        for name, value in each.attributes.items()
        if (POWERS.match(name) and "pwned" in value) or name == "hx-swap-oob"
    ]


def test_the_oracle_sees_what_lives() -> None:
    assert alive("<p><i hx-get=/pwned>") == ["i"]
    assert alive("<p><i onload='pwned()'>") == ["i"]
    assert alive("<p title='hx-get=/pwned'>") == []


@pytest.mark.parametrize("text", HOSTILE)
def test_a_strangers_markup_is_text_wherever_it_is_shown(owner: Person, text: str) -> None:
    bin_id, catches = owner.bin()
    reply = {"status_code": 200, "headers": f"x-hostile: {text}", "body": text, "delay": 0}
    owner.do(f"bins/{bin_id}/reply", **reply)
    webhook = owner.webhook(name=text, url=catches, event_types="site_deleted")
    event = owner.emit(json.dumps({text: text}), event="site_deleted")
    owner.see_once(f"deliveries/{event}/{webhook}", 'class="state succeeded"')
    httpx.post(f"{catches}/{text}?{text}={text}", content=text, headers={"x-hostile": text})
    capture = re.search(r"captures/(cap_\w+)", owner.see(f"bins/{bin_id}"))
    assert capture is not None
    pages = [
        owner.send(f"webhooks/{webhook}/test").text,
        owner.send(f"bins/{bin_id}/captures/{capture[1]}/reveal").text,
        owner.see("webhooks?text=pwned"),
        owner.see(f"webhooks?text={text}&event={text}"),
        owner.see(f"events/{event}"),
        owner.see(f"events?text={text}&event={text}"),
        owner.see(f"deliveries/{event}/{webhook}"),
        owner.see(f"deliveries?endpoint={webhook}"),
        owner.see(f"bins/{bin_id}"),
    ]
    for html in pages:
        assert "pwned" in html
        assert alive(html) == []
    owner.do(f"webhooks/{webhook}/delete", sure="yes")


def test_a_line_end_in_a_request_ends_no_message_of_the_stream(owner: Person) -> None:
    bin_id, catches = owner.bin()
    with owner.client.stream("GET", f"bins/{bin_id}/live", headers=HTMX) as stream:
        lines = stream.iter_lines()
        assert next(lines) == ": following"
        httpx.post(f"{catches}/%0A%0Adata:%20pwned%0D%0A?x%0A", content=b"")
        httpx.post(catches, content=b"")
        seen = [next(lines) for _ in range(7)]
    assert [each.partition(":")[0] for each in seen] == ["", "id", "data", "", "id", "data", ""]


@pytest.mark.parametrize("path", ["bins/{bin}", "events/{event}", "deliveries/{event}/{webhook}"])
def test_where_strangers_bytes_stand_htmx_does_not_look(owner: Person, path: str) -> None:
    bin_id, catches = owner.bin()
    webhook = owner.webhook(url=catches, event_types="site_published")
    event = owner.emit('{"mark": "pwned"}', event="site_published")
    owner.see_once(f"deliveries/{event}/{webhook}", 'class="state succeeded"')
    html = owner.see(path.format(bin=bin_id, event=event, webhook=webhook))
    places = [each for each in read(html).all() if "pwned" in each.text and not each.inside]
    assert places
    for each in places:
        assert any(above.has("hx-ignore") for above in each.above), each.text
