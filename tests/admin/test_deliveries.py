"""Deliveries: what became of each event, shown and sent again."""

from __future__ import annotations

import itertools
import json
import re
import socket
from collections.abc import Iterator
from html import unescape
from typing import Any

import httpx
import pytest

from admin.conftest import NASTY, Person, problem_of

SECRET = "Bearer 8c1f-secret"
_numbers = itertools.count()
MARKUP = "<script>alert(1)</script>\u202e javascript:alert(1)"


@pytest.fixture(scope="module")
def dead() -> Iterator[str]:
    """An address where nothing listens: the port is bound, so nobody else takes it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/hook"


@pytest.fixture
def app(owner: Person) -> str:
    """An application of the test's own, for links: what other tests do is not in its lists."""
    name = f"app-{next(_numbers)}"
    owner.do("settings/applications", name=name, uid=name)
    return f"app={name}"


def webhook(owner: Person, app: str, url: str, **fields: Any) -> str:
    given = {"name": "Mailing list", "event_types": "payment_received", "active": "on"}
    where = owner.do(f"webhooks?{app}", url=url, **given | fields)
    found = re.search(r"new=(ep_\w+)", where)
    assert found is not None, where
    return found[1]


def emit(owner: Person, app: str, payload: str = '{"payment_id": 1}', **fields: str) -> str:
    where = owner.do(f"emit?{app}", **{"event": "payment_received", "payload": payload} | fields)
    return where.removeprefix("events/").partition("?")[0]


def answers(owner: Person, bin_id: str, **reply: str) -> None:
    owner.do(f"bins/{bin_id}/reply", **{"status_code": "200", "headers": "", "body": ""} | reply)


def refused_once(owner: Person, app: str, url: str) -> tuple[str, str]:
    """A delivery that waits for its second attempt: message and webhook."""
    endpoint = webhook(owner, app, url)
    message = emit(owner, app)
    owner.see_once(f"deliveries/{message}/{endpoint}?{app}", "Next attempt:")
    return message, endpoint


def see_times(owner: Person, path: str, text: str, count: int) -> str:
    """A page as soon as it has `text` so many times."""
    html = ""
    for _ in range(1_000):
        html = owner.see(path)
        if html.count(text) == count:
            return html
    raise AssertionError(html)


def rows(html: str) -> list[str]:
    """Ids of messages in a list, in order."""
    return re.findall(r'<td class="wide"><a href="/admin/deliveries/(msg_\w+)/', html)


def hidden(html: str) -> dict[str, str]:
    """The hidden fields of the form on a page, but its token."""
    main = html.partition("<main")[2].partition("</main>")[0]
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', main)
    return {name: unescape(value) for name, value in fields if name != "csrf"}


def sent_again(owner: Person, app: str, **asked: str) -> httpx.Response:
    return owner.send(f"deliveries/resend?{app}", **asked)


# --- the list ---------------------------------------------------------------------------------


def test_a_list_tells_what_became_of_each_event(owner: Person, app: str, dead: str) -> None:
    bin_id, url = owner.bin()
    answers(owner, bin_id, status_code="503", body="overloaded")
    good = webhook(owner, app, owner.bin()[1], name="Good one")
    webhook(owner, app, url, name="Busy one")
    webhook(owner, app, dead, name="Dead one")
    message = emit(owner, app)
    owner.see_once(f"deliveries?{app}&class=500", "Busy one</a>")
    owner.see_once(f"deliveries?{app}&state=succeeded", "Good one</a>")
    html = owner.see_once(f"deliveries?{app}&class=0", "Dead one</a>")

    assert rows(html) == [message]
    assert ">refused</span>" in html
    assert "Busy one</a>" not in html
    html = owner.see(f"deliveries?{app}")
    assert rows(html) == [message] * 3
    assert ">503</span>" in html
    assert "next try in" in html
    assert re.search(r"\d ms</td>", html)
    assert rows(owner.see(f"deliveries?{app}&endpoint={good}")) == [message]
    assert rows(owner.see(f"deliveries?{app}&state=pending")) == [message] * 2
    assert rows(owner.see(f"deliveries?{app}&event=payment_received")) == [message] * 3
    assert rows(owner.see(f"deliveries?{app}&event=customer_created")) == []
    assert rows(owner.see(f"deliveries?{app}&before=2020-01-01T00:00")) == []
    assert rows(owner.see(f"deliveries?{app}&after=2020-01-01T00:00")) == [message] * 3


def test_an_empty_list_says_how_to_fill_it(owner: Person, viewer: Person, app: str) -> None:
    html = owner.see(f"deliveries?{app}")
    assert "No deliveries here" in html
    assert 'href="/admin/emit?app=' in html
    assert "/admin/emit" not in viewer.see(f"deliveries?{app}")
    assert "No delivery is like that." in owner.see(f"deliveries?{app}&state=failed")


def test_a_filter_keeps_the_application(owner: Person, app: str) -> None:
    """A browser drops the query of the address that a form with GET is sent to."""
    name = app.removeprefix("app=")
    for path in ("deliveries", "events", "emit"):
        form = re.search(r'<form[^>]*method="get".*?</form>', owner.see(f"{path}?{app}"), re.DOTALL)
        assert form is not None
        assert f'<input type="hidden" name="app" value="{name}">' in form[0]


def test_a_time_that_is_none_is_told_beside_its_field(owner: Person, app: str) -> None:
    answer = owner.client.get(f"deliveries?{app}&after=yesterday&state=failed")
    assert answer.status_code == 422
    assert "must be a time" in problem_of(answer.text, "after").lower()
    assert 'value="yesterday"' in answer.text
    assert 'value="failed" selected' in answer.text


@pytest.mark.parametrize("query", ["state=lost", "class=7", "from=nonsense", "endpoint=ep_none"])
def test_an_odd_address_is_no_error(owner: Person, app: str, query: str) -> None:
    owner.see(f"deliveries?{app}&{query}")


def test_older_ones_follow_on_the_next_page(owner: Person, app: str) -> None:
    _, url = owner.bin()
    webhook(owner, app, url)
    webhook(owner, app, url)
    made = [emit(owner, app) for _ in range(26)]

    html = owner.see(f"deliveries?{app}")
    first = rows(html)
    older = re.search(r'href="/admin/(deliveries\?[^"]*from=[^"]*)"', html)
    assert older is not None
    html = owner.see(unescape(older[1]))
    assert first + rows(html) == [each for each in reversed(made) for _ in range(2)]
    assert "Newest" in html
    assert "Older" not in html


def test_webhooks_of_another_application_show_nothing(owner: Person, app: str) -> None:
    elsewhere = owner.webhook(url=owner.bin()[1])
    message = owner.emit()
    owner.see_once(f"deliveries?endpoint={elsewhere}", message)
    assert rows(owner.see(f"deliveries?{app}&endpoint={elsewhere}")) == []
    owner.see(f"deliveries/{message}/{elsewhere}?{app}", 404)
    for verb in ("resend", "cancel"):
        assert owner.send(f"deliveries/{message}/{elsewhere}/{verb}?{app}").status_code == 404


# --- one delivery -----------------------------------------------------------------------------


def test_a_timeline_shows_both_sides_of_each_attempt(owner: Person, app: str) -> None:
    bin_id, url = owner.bin()
    answers(owner, bin_id, status_code="500", headers="X-Why: full moon", body='{"why":"moon"}')
    endpoint = webhook(owner, app, url, headers=f"Authorization: {SECRET}\nX-Mine: plain")
    message = emit(owner, app, '{"payment_id": 77001}')
    html = owner.see_once(f"deliveries/{message}/{endpoint}?{app}", "Next attempt:")

    for text in (
        *(">500</span>", "The endpoint answered 500", "next try in", f"POST {url}"),
        *("webhook-signature", "X-Mine", "plain", "x-why", "full moon", "77001"),
        "&#34;why&#34;: &#34;moon&#34;",
    ):
        assert text in html
    assert SECRET not in html
    assert "(hidden)" in html


def test_a_delivery_is_sent_again_and_marked_so(owner: Person, app: str) -> None:
    endpoint = webhook(owner, app, owner.bin()[1])
    message = emit(owner, app)
    path = f"deliveries/{message}/{endpoint}"
    assert "sent again by hand" not in owner.see_once(f"{path}?{app}", ">delivered</span>")

    where = owner.do(f"{path}/resend?{app}")
    assert "It is sent again." in owner.see(where)
    html = owner.see_once(f"{path}?{app}", "sent again by hand")
    assert html.count("<h3>") == 2


def test_a_test_is_marked_as_such(owner: Person, app: str) -> None:
    endpoint = webhook(owner, app, owner.bin()[1])
    answer = owner.send(f"webhooks/{endpoint}/test?{app}")
    found = re.search(r"deliveries/(msg_\w+)/", answer.text)
    assert found is not None
    html = owner.see(f"deliveries/{found[1]}/{endpoint}?{app}")
    assert html.count(">test event</span>") == 2  # above, and at the attempt
    assert ">test event</span>" in owner.see(f"deliveries?{app}")
    assert ">test event</span>" in owner.see(f"events?{app}")


def test_what_waits_is_sent_now_or_canceled(owner: Person, app: str, dead: str) -> None:
    message, endpoint = refused_once(owner, app, dead)
    path = f"deliveries/{message}/{endpoint}"
    assert "Send now" in owner.see(f"{path}?{app}")
    where = owner.do(f"{path}/cancel?{app}")
    html = owner.see(where)
    assert "Delivery canceled." in html
    assert ">canceled</span>" in html
    assert "Next attempt:" not in html

    answer = owner.send(f"{path}/cancel?{app}")
    assert answer.status_code == 409
    assert 'role="alert">only what waits can be canceled' in answer.text
    assert ">canceled</span>" in answer.text


def test_a_refused_resend_is_told_on_the_page(owner: Person, app: str) -> None:
    endpoint = webhook(owner, app, owner.bin()[1])
    message = emit(owner, app)
    path = f"deliveries/{message}/{endpoint}"
    owner.see_once(f"{path}?{app}", ">delivered</span>")
    owner.do(f"webhooks/{endpoint}/switch?{app}", to="off")
    html = owner.see(f"{path}?{app}")
    assert ">switched off</span>" in html
    assert "/resend" not in html
    answer = owner.send(f"{path}/resend?{app}")
    assert answer.status_code == 409
    assert 'role="alert">this webhook is switched off' in answer.text


def test_a_delivery_outlives_its_webhook(owner: Person, app: str) -> None:
    endpoint = webhook(owner, app, owner.bin()[1])
    message = emit(owner, app)
    owner.see_once(f"deliveries/{message}/{endpoint}?{app}", ">delivered</span>")
    owner.do(f"webhooks/{endpoint}/delete?{app}", sure="yes")
    html = owner.see(f"deliveries/{message}/{endpoint}?{app}")
    assert "payment_received to (deleted)" in html
    assert "/resend" not in html
    assert "(deleted)" in owner.see(f"deliveries?{app}")
    assert rows(owner.see(f"deliveries?{app}&endpoint={endpoint}")) == [message]
    assert owner.send(f"deliveries/{message}/{endpoint}/resend?{app}").status_code == 404


def test_a_long_reply_is_shown_in_full_for_one_attempt(owner: Person, app: str) -> None:
    bin_id, url = owner.bin()
    answers(owner, bin_id, body="y" * 5_000 + "END")
    endpoint = webhook(owner, app, url)
    message = emit(owner, app)
    path = f"deliveries/{message}/{endpoint}"
    owner.see_once(f"{path}?{app}", "yEND")
    owner.do(f"{path}/resend?{app}")
    html = owner.see_once(f"{path}?{app}", "sent again by hand")
    assert html.count("yEND") == 1
    other = re.search(rf'href="/admin/({path}\?[^"]*attempt=[^"#]*)#', html)
    assert other is not None
    html = owner.see(unescape(other[1]))
    assert html.count("yEND") == 1
    assert unescape(other[1]) not in unescape(html)


def test_attempts_page(owner: Person, app: str) -> None:
    endpoint = webhook(owner, app, owner.bin()[1])
    message = emit(owner, app)
    path = f"deliveries/{message}/{endpoint}"
    for count in range(1, 22):
        html = owner.see_once(f"deliveries?{app}", f'data-label="Attempts">{count}</td>')
        if count < 21:
            owner.do(f"{path}/resend?{app}")
    html = owner.see(f"{path}?{app}")
    assert html.count("<h3>") == 20
    older = re.search(r'href="/admin/([^"]*from=atmpt_[^"]*)"', html)
    assert older is not None
    html = owner.see(unescape(older[1]))
    assert html.count("<h3>") == 1
    assert "sent again by hand" not in html


# --- many at once -----------------------------------------------------------------------------


def test_many_are_sent_again_once_their_number_is_known(owner: Person, app: str) -> None:
    bin_id, url = owner.bin()
    endpoint = webhook(owner, app, url, name="Shop & Söhne")
    other = webhook(owner, app, owner.bin()[1], name="Other")
    once, twice = (f'data-label="Attempts">{count}</td>' for count in (1, 2))
    for _ in range(3):
        emit(owner, app)
    see_times(owner, f"deliveries?{app}&state=succeeded", once, 6)
    assert f'action="/admin/deliveries/resend?{app}"' in owner.see(f"deliveries?{app}")

    asked = {"endpoint": endpoint, "state": "succeeded"}
    answer = sent_again(owner, app, **asked)
    assert answer.status_code == 200
    assert "retries: 3." in answer.text
    assert "Shop &amp; Söhne" in answer.text
    assert ">Other<" not in answer.text
    fields = hidden(answer.text)
    assert {name: fields[name] for name in asked} == asked
    assert len(set(re.findall(r"/captures/(cap_\w+)", owner.see(f"bins/{bin_id}")))) == 3

    emit(owner, app)  # after the count: not one of those
    see_times(owner, f"deliveries?{app}&state=succeeded", once, 8)
    where = owner.do(f"deliveries/resend?{app}", sure="yes", **fields)
    assert "They are sent again." in owner.see(where)
    html = see_times(owner, f"deliveries?{app}&endpoint={endpoint}", twice, 3)
    assert html.count(once) == 1
    assert twice not in owner.see(f"deliveries?{app}&endpoint={other}")
    assert "deliveries.resent" in owner.see("settings/audit")


def test_nothing_is_sent_again_where_nothing_can_be(owner: Person, app: str, dead: str) -> None:
    refused_once(owner, app, dead)
    answer = sent_again(owner, app)
    assert "nothing here that can be sent again" in answer.text
    assert "Left out: 1." in answer.text
    assert 'name="sure"' not in answer.text


def test_a_wrong_time_does_not_send_everything(owner: Person, app: str) -> None:
    endpoint = webhook(owner, app, owner.bin()[1])
    emit(owner, app)
    owner.see_once(f"deliveries?{app}&state=succeeded", "Mailing list</a>")
    where = owner.do(f"deliveries/resend?{app}", after="yesterday", sure="yes")
    assert "after=yesterday" in where
    html = owner.see(f"deliveries?{app}&endpoint={endpoint}")
    assert 'data-label="Attempts">1</td>' in html


# --- who may, and what strangers write --------------------------------------------------------


def test_a_viewer_looks_and_changes_nothing(
    owner: Person, viewer: Person, app: str, dead: str
) -> None:
    message, endpoint = refused_once(owner, app, dead)
    path = f"deliveries/{message}/{endpoint}"
    html = viewer.see(f"{path}?{app}") + viewer.see(f"deliveries?{app}")
    assert "/resend" not in html
    assert "/cancel" not in html
    for each in (f"{path}/resend", f"{path}/cancel", "deliveries/resend"):
        assert viewer.send(f"{each}?{app}", sure="yes").status_code == 403
    assert "Next attempt:" in owner.see(f"{path}?{app}")


def test_strangers_words_are_text(owner: Person, app: str) -> None:
    bin_id, url = owner.bin()
    answers(owner, bin_id, status_code="500", headers="X-A: <b>1", body=MARKUP)
    endpoint = webhook(owner, app, url, name=NASTY, headers="X-Mine: <script>alert(2)</script>")
    message = emit(owner, app, json.dumps({"payment_id": 1, MARKUP: NASTY}))
    path = f"deliveries/{message}/{endpoint}"
    owner.see_once(f"{path}?{app}", "next try in")
    resend = sent_again(owner, app, state="pending").text
    odd = {"event": NASTY, "endpoint": NASTY, "after": NASTY}
    listed = owner.client.get(f"deliveries?{app}", params=odd).text
    assert problem_of(listed, "after")
    for html in (owner.see(f"{path}?{app}"), owner.see(f"deliveries?{app}"), resend, listed):
        main = html.partition("<main")[2]
        assert "alert(" in main
        assert "<script" not in main
        assert "<b>1" not in main
        # What was typed stands in its field as it was typed.
        assert "\u202e" not in re.sub(r'value="[^"]*"', "", main)
        assert not re.search(r'(?:href|action|src)="\s*javascript:', main)
        assert not re.search(r"<[^>]*\son\w+=", main)
