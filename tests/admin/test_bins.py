"""Request bins as somebody sees them who waits for a request."""

from __future__ import annotations

import json
import re
from html import unescape
from urllib.parse import quote

import httpx
import pytest
from markupsafe import escape

from admin.conftest import NASTY, Person, problem_of
from stafett.web.admin.render import visible


def caught(owner: Person, bin_id: str) -> list[str]:
    """The captures of a bin, newest first."""
    found = re.findall(rf"bins/{bin_id}/captures/(cap_\w+)\"", owner.see(f"bins/{bin_id}"))
    return list(dict.fromkeys(found))


def test_a_new_bin_waits_and_then_shows_what_came(owner: Person) -> None:
    bin_id, catches = owner.bin()
    assert "Waiting for the first request" in owner.see(f"bins/{bin_id}")
    httpx.put(f"{catches}/orders?a=1&a=2", content=b'{"x": 1.0}', headers={"x-one": "1"})
    html = owner.see(f"bins/{bin_id}")
    assert "Waiting for the first request" not in html
    for text in ("PUT", "/orders", "x-one", "&#34;x&#34;: 1.0", "answered 200"):
        assert text in html
    assert catches in owner.see("bins")


def test_a_live_row_comes_as_it_happens_and_a_stream_resumes(owner: Person) -> None:
    bin_id, catches = owner.bin()
    headers = {"accept": "text/event-stream"}
    with owner.client.stream("GET", f"bins/{bin_id}/live", headers=headers) as stream:
        lines = stream.iter_lines()
        assert next(lines) == ": following"
        httpx.post(catches, content=b"first")
        seen = [next(each for each in lines if each.startswith("id:"))]
        data = next(each for each in lines if each.startswith("data:"))
    assert seen == ["id: 1"]
    assert data.startswith('data: <li hx-ignore data-number="1"')
    httpx.post(catches, content=b"second")
    more = headers | {"last-event-id": "1"}
    with owner.client.stream("GET", f"bins/{bin_id}/live", headers=more) as stream:
        assert next(each for each in stream.iter_lines() if each.startswith("id:")) == "id: 2"


def test_our_own_message_is_shown_with_both_its_ends(owner: Person) -> None:
    bin_id, catches = owner.bin()
    owner.webhook(url=catches, name="Both ends")
    message = owner.emit('{"payment_id":  5}')
    html = owner.see_once(f"bins/{bin_id}", "the signature holds")  # once it is recorded
    assert "The body arrived as it was sent, byte for byte." in html
    assert f"deliveries/{message}/" in html
    assert f"{message}." in html  # the signed string


def test_a_body_that_is_no_text_is_shown_in_hex_and_downloaded_as_it_is(owner: Person) -> None:
    bin_id, catches = owner.bin()
    body = bytes(range(256))
    httpx.post(catches, content=body)
    [capture] = caught(owner, bin_id)
    html = owner.see(f"bins/{bin_id}/captures/{capture}")
    assert "00 01 02 03" in html
    assert "--data-binary @- &lt; body.bin" in html
    assert "Save it as body.bin first." in html
    answer = owner.client.get(f"bins/{bin_id}/captures/{capture}/body")
    assert answer.content == body
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "attachment" in answer.headers["content-disposition"]
    assert "sandbox" in answer.headers["content-security-policy"]


def test_credentials_are_hidden_until_somebody_asks(owner: Person) -> None:
    bin_id, catches = owner.bin()
    httpx.post(catches, headers={"authorization": "Bearer very-hidden", "x-api-key": "k-hidden"})
    [capture] = caught(owner, bin_id)
    path = f"bins/{bin_id}/captures/{capture}"
    html = owner.see(path)
    assert "very-hidden" not in html
    assert "k-hidden" not in html
    assert "very-hidden" in owner.send(f"{path}/reveal").text
    assert "capture.revealed" in owner.see("settings/audit")


@pytest.mark.parametrize(
    ("field", "value"),
    [("status_code", "99"), ("status_code", "ok"), ("headers", "no colon"), ("delay", "-1")],
)
def test_a_reply_that_cannot_be_is_told(owner: Person, field: str, value: str) -> None:
    bin_id, _ = owner.bin()
    form = {"status_code": "200", "headers": "", "body": "", "delay": "0", field: value}
    answer = owner.send(f"bins/{bin_id}/reply", **form)
    assert answer.status_code == 422
    assert problem_of(answer.text, field)
    assert f'value="{value}"' in answer.text or f">{value}<" in answer.text


def test_a_scripted_reply_is_given(owner: Person) -> None:
    bin_id, catches = owner.bin()
    owner.do(
        f"bins/{bin_id}/reply", status_code="503", headers="x-why: busy", body="later", delay="1"
    )
    answer = httpx.post(catches)
    assert (answer.status_code, answer.headers["x-why"], answer.text) == (503, "busy", "later")


def test_forms_and_parts_are_read(owner: Person) -> None:
    bin_id, catches = owner.bin()
    httpx.post(catches, data={"town": "Tromsø", "empty": ""})
    httpx.post(catches, files={"file": ("a.txt", b"content"), "word": (None, b"text")})
    parts, urlencoded = caught(owner, bin_id)
    assert "Tromsø" in owner.see(f"bins/{bin_id}/captures/{urlencoded}")
    html = owner.see(f"bins/{bin_id}/captures/{parts}")
    assert "a.txt (7 bytes)" in html


def test_captured_markup_is_never_markup(owner: Person) -> None:
    bin_id, catches = owner.bin()
    httpx.post(
        f"{catches}/<script>alert(1)</script>?q=<img src=x onerror=alert(1)>",
        content=f"<!doctype html><script>alert(1)</script>{NASTY}".encode(),
        headers={"content-type": "text/html", "x-nasty": '"><svg onload=alert(1)>'},
    )
    httpx.post(catches, content=json.dumps({"<script>alert(1)</script>": NASTY}).encode())
    for capture in caught(owner, bin_id):
        html = owner.see(f"bins/{bin_id}/captures/{capture}")
        for markup in ("<script>alert", "<img src=x", "<svg onload", "\u202e"):
            assert markup not in html


def test_clearing_and_deleting(owner: Person) -> None:
    bin_id, catches = owner.bin()
    for _ in range(2):
        httpx.post(catches)
    one, _ = caught(owner, bin_id)
    owner.do(f"bins/{bin_id}/captures/{one}/delete")
    assert one not in caught(owner, bin_id)
    owner.do(f"bins/{bin_id}/clear")
    assert caught(owner, bin_id) == []
    assert "Delete for good?" in owner.send(f"bins/{bin_id}/delete").text
    owner.do(f"bins/{bin_id}/delete", sure="yes")
    owner.see(f"bins/{bin_id}", status=404)
    assert httpx.post(catches).status_code == 404


# --- lists and downloads ----------------------------------------------------------------------


def test_a_bin_has_the_name_it_is_given_and_one_that_cannot_be_is_told(owner: Person) -> None:
    where = owner.do("bins", name=NASTY)
    assert escape(visible(NASTY)) in owner.see(where)
    answer = owner.send("bins", name="x" * 513)
    assert answer.status_code == 422
    assert "at most 512" in problem_of(answer.text, "name")
    assert f'value="{"x" * 513}"' in answer.text


def test_a_long_list_has_pages_and_only_the_newest_is_live(owner: Person) -> None:
    bin_id, catches = owner.bin()
    with httpx.Client() as client:
        for _ in range(52):
            client.post(catches)
    newest = owner.see(f"bins/{bin_id}")
    assert numbers(newest) == list(range(52, 2, -1))
    assert f"bins/{bin_id}/live?after=52" in newest
    [older] = re.findall(rf'bins/{bin_id}\?after=(\d+)"', newest)
    html = owner.see(f"bins/{bin_id}?after={older}")
    assert numbers(html) == [2, 1]
    assert "hx-sse" not in html
    assert "Older" not in html
    owner.see(f"bins/{bin_id}?after=x", status=400)


def numbers(html: str) -> list[int]:
    """The list's, from above."""
    return [int(each) for each in re.findall(r'data-number="(\d+)"', html)]


@pytest.mark.parametrize("kind", ["json", "har"])
def test_what_it_caught_can_be_downloaded_without_credentials(owner: Person, kind: str) -> None:
    bin_id, catches = owner.bin()
    httpx.post(f"{catches}?n=1", content=b"one", headers={"x-api-key": "never-shown"})
    httpx.put(f"{catches}?n=2", content=b"\xff")
    answer = owner.client.get(f"bins/{bin_id}/export.{kind}")
    assert answer.headers["content-disposition"] == f'attachment; filename="{bin_id}.{kind}"'
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "never-shown" not in answer.text
    found = answer.json()
    if kind == "json":
        assert found["complete"] is True
        assert (found["bin"]["id"], found["bin"]["url"]) == (bin_id, catches)
        assert [each["bodyBase64"] for each in found["captures"]] == ["b25l", "/w=="]
    else:
        requests = [each["request"] for each in found["log"]["entries"]]
        assert [each["url"] for each in requests] == [f"{catches}?n=1", f"{catches}?n=2"]


def test_a_download_that_is_not_all_says_so(owner: Person) -> None:
    bin_id, catches = owner.bin()
    with httpx.Client(timeout=30) as client:
        for _ in range(17):
            client.post(catches, content=bytes(2**20))
    found = owner.client.get(f"bins/{bin_id}/export.json").json()
    assert found["complete"] is False
    assert [each["number"] for each in found["captures"]] == list(range(2, 18))


def test_a_reply_keeps_the_space_around_its_body(owner: Person) -> None:
    bin_id, catches = owner.bin()
    owner.do(f"bins/{bin_id}/reply", status_code="", headers="", body=" a\r\nb \r\n", delay="")
    answer = httpx.post(catches)
    assert (answer.status_code, answer.text) == (200, " a\nb \n")
    for field in ("created", "reply_set"):
        assert f"bin.{field}" in owner.see("settings/audit")


# --- one request ------------------------------------------------------------------------------


def test_headers_stand_in_order_with_their_repeats(owner: Person) -> None:
    bin_id, catches = owner.bin()
    httpx.post(catches, headers=[("x-two", "b"), ("x-one", "1"), ("x-two", "a")])
    html = owner.see(f"bins/{bin_id}")
    found = re.findall(r'<th scope="row">(x-\w+)</th><td>(\w+)</td>', html)
    assert found == [("x-two", "b"), ("x-one", "1"), ("x-two", "a")]


def test_a_long_body_is_shown_to_a_limit_and_downloaded_whole(owner: Person) -> None:
    bin_id, catches = owner.bin()
    body = b'["' + b"x" * 400_000 + b'"]'
    httpx.post(catches, content=body)
    html = owner.see(f"bins/{bin_id}")
    assert "There was more; only the beginning is shown." in html
    assert len(html) < 400_000
    [capture] = caught(owner, bin_id)
    assert owner.client.get(f"bins/{bin_id}/captures/{capture}/body").content == body


def test_json_that_is_too_deep_to_be_indented_is_shown_as_it_is(owner: Person) -> None:
    bin_id, catches = owner.bin()
    httpx.post(catches, content=b"[" * 100_000)
    httpx.post(catches, content=b"[" * 900 + b"1," * 30_000 + b"1" + b"]" * 900)
    for capture in caught(owner, bin_id):
        assert len(owner.see(f"bins/{bin_id}/captures/{capture}")) < 1_000_000


@pytest.mark.parametrize("text", ["javascript:alert(1)", NASTY, "<b onclick=alert(1)>"])
def test_whatever_comes_from_outside_is_text(owner: Person, text: str) -> None:
    bin_id, catches = owner.bin()
    raw = text.encode()
    part = b'--b\r\ncontent-disposition: form-data; name="%b"; filename="%b"\r\n\r\n%b\r\n--b--'
    headers: list[tuple[bytes, bytes]] = [
        (b"content-type", b"multipart/form-data; boundary=b"),
        *((name, raw) for name in (b"x-text", b"webhook-id", b"webhook-signature", b"referer")),
    ]
    with owner.client.stream(
        "GET", f"bins/{bin_id}/live", headers={"accept": "text/event-stream"}
    ) as stream:
        lines = stream.iter_lines()
        assert next(lines) == ": following"
        for each in (part % (raw, raw, raw), raw):
            address = f"{catches}/{quote(text)}?{quote(text)}={quote(text)}"
            httpx.post(address, content=each, headers=headers)
        row = next(each for each in lines if each.startswith("data:"))
    one, two = caught(owner, bin_id)
    pages = [owner.see(f"bins/{bin_id}/captures/{each}") for each in (one, two)]
    pages += [owner.see(f"bins/{bin_id}/compare?a={one}&b={two}"), row]
    assert escape(visible(text)) in pages[0]
    for html in pages:
        assert text not in html or text == "javascript:alert(1)"
        assert "\u202e" not in html
        assert not re.search(r"""(?:href|src|action)=["']?\s*javascript:""", html)


# --- our own messages -------------------------------------------------------------------------


def own(owner: Person, **fields: str) -> tuple[str, str, str]:
    """A bin with a real event in it: its id, where it catches, and the webhook."""
    bin_id, catches = owner.bin()
    webhook = owner.webhook(url=catches, name="To a bin", **fields)
    owner.emit('{"payment_id": 5}')
    owner.see_once(f"bins/{bin_id}", "Open the delivery")  # once it is recorded
    return bin_id, catches, webhook


def as_it_came(owner: Person, bin_id: str) -> dict[str, str]:
    """The headers of the first request, for sending it again."""
    captures = owner.client.get(f"bins/{bin_id}/export.json").json()["captures"]
    return {
        name: value
        for name, value in captures[0]["headers"]
        if name not in {"host", "content-length"}
    }


def test_a_body_changed_on_its_way_is_shown_line_by_line(owner: Person) -> None:
    bin_id, catches, _ = own(owner)
    changed = as_it_came(owner, bin_id) | {"x-proxy": "1", "content-type": "text/plain"}
    del changed["user-agent"]
    httpx.post(catches, content=b'{"payment_id": 6}', headers=changed)
    html = owner.see(f"bins/{bin_id}")
    assert "no signature matches: another secret, or the body was changed on its way" in html
    assert "The body was changed on its way." in html
    assert "<del>-   &#34;payment_id&#34;: 5\n</del>" in html
    assert "<ins>+   &#34;payment_id&#34;: 6\n</ins>" in html
    for name, word in (("x-proxy", "added"), ("content-type", "changed"), ("accept", "same")):
        assert re.search(rf'<tr class="{word}"><th scope="row">{name}</th>', html)
    assert "does not hold" in html


@pytest.mark.parametrize(
    ("header", "value", "mistake"),
    [
        ("webhook-timestamp", "1000000000", "the timestamp is too old"),
        ("webhook-timestamp", "soon", "the timestamp is not a whole number of seconds"),
        ("webhook-signature", "v1,AAAA", "no signature matches"),
    ],
)
def test_a_mistake_in_a_signature_has_its_name(
    owner: Person, header: str, value: str, mistake: str
) -> None:
    bin_id, catches, _ = own(owner)
    sent = as_it_came(owner, bin_id) | {header: value}
    httpx.post(catches, content=b'{"payment_id": 5}', headers=sent)
    html = owner.see(f"bins/{bin_id}")
    assert mistake in html
    assert "The body arrived as it was sent, byte for byte." in html


def test_what_the_webhook_hides_is_hidden_in_the_comparison_too(owner: Person) -> None:
    bin_id, _, _ = own(owner, headers="authorization: Bearer our-own\nx-plain: seen")
    html = owner.see(f"bins/{bin_id}")
    assert "seen" in html
    assert "our-own" not in html
    [capture] = caught(owner, bin_id)
    assert html.count("(hidden)") == 4  # the list of headers, curl, sent, arrived
    assert owner.send(f"bins/{bin_id}/captures/{capture}/reveal").text.count("our-own") == 4


def test_a_message_whose_webhook_is_gone_is_shown_all_the_same(owner: Person) -> None:
    bin_id, _, webhook = own(owner)
    owner.do(f"webhooks/{webhook}/delete", sure="yes")
    html = owner.see(f"bins/{bin_id}")
    assert "it cannot be checked: the webhook was deleted, and its secret with it" in html
    assert "The body arrived as it was sent, byte for byte." in html


def test_a_payload_that_is_not_kept_any_more_is_not_called_changed(owner: Person) -> None:
    bin_id, catches, _ = own(owner)
    message = as_it_came(owner, bin_id)["webhook-id"]
    made = owner.send("settings/tokens", name="expunger").text
    token = re.search(r"<code>(\w+)</code>", made)
    assert token is not None
    api = f"{catches.partition('/in/')[0]}/api/v1/app/default/msg/{message}/content"
    answer = httpx.delete(api, headers={"authorization": f"Bearer {token[1]}"})
    assert answer.status_code == 204
    html = owner.see(f"bins/{bin_id}")
    assert "What was sent is not kept any more" in html
    assert "was changed" not in html


def test_of_a_body_that_was_cut_no_signature_is_checked(owner: Person) -> None:
    bin_id, catches, _ = own(owner)
    httpx.post(catches, content=bytes(2**20 + 1), headers=as_it_came(owner, bin_id), timeout=30)
    assert "only the beginning of the body was kept" in owner.see(f"bins/{bin_id}")


def test_requests_of_one_message_stand_in_a_row(owner: Person) -> None:
    bin_id, catches, webhook = own(owner)
    message = as_it_came(owner, bin_id)["webhook-id"]
    httpx.post(catches, content=b"something else")
    assert "All requests of this message" not in owner.see(f"bins/{bin_id}")
    owner.do(f"deliveries/{message}/{webhook}/resend")
    html = owner.see_once(f"bins/{bin_id}", "All requests of this message")
    timeline = html.partition("All requests of this message")[2].partition("</ol>")[0]
    assert re.findall(r"#(\d)<", timeline) == ["1", "3"]
    assert timeline.count("later") == 1
    owner.see_once(f"bins/{bin_id}", "sent again by hand")


def test_a_message_of_another_application_has_its_both_ends(owner: Person) -> None:
    bin_id, catches = owner.bin()
    owner.do("settings/applications", name="Second", uid="second")
    form = {"name": "To a bin", "url": catches, "event_types": "payment_received", "active": "on"}
    owner.do("webhooks", app="second", **form)
    owner.do("emit", app="second", event="payment_received", payload="{}")
    html = owner.see_once(f"bins/{bin_id}", "the signature holds")
    [link] = re.findall(r'href="/admin/(deliveries/msg[^"]*)"', html)
    assert "To a bin" in owner.see(unescape(link))


# --- two of them ------------------------------------------------------------------------------


def test_two_requests_are_compared(owner: Person) -> None:
    bin_id, catches = owner.bin()
    secret = {"authorization": "Bearer a", "x-same": "1"}
    httpx.post(catches, json={"a": 1, "b": 2}, headers=secret)
    httpx.put(catches, json={"a": 1, "b": 3}, headers=secret | {"authorization": "Bearer b"})
    two, one = caught(owner, bin_id)
    html = owner.see(f"bins/{bin_id}/compare?a={one}&b={two}")
    assert "Compare #1 with #2" in html
    assert "<del>-   &#34;b&#34;: 2\n</del><ins>+   &#34;b&#34;: 3\n</ins>" in html
    assert re.search(r'<tr class="changed"><th scope="row">authorization</th>', html)
    assert re.search(r'<tr class="same"><th scope="row">x-same</th>', html)
    assert "Bearer" not in html
    same = owner.see(f"bins/{bin_id}/compare?a={one}&b={one}")
    assert "The bodies are the same, byte for byte." in same
    assert f'value="{one}"' in owner.see(f"bins/{bin_id}/captures/{two}")


def test_requests_that_are_not_of_the_bin_are_not_compared(owner: Person) -> None:
    bin_id, catches = owner.bin()
    other, catches_too = owner.bin()
    for each in (catches, catches_too):
        httpx.post(each)
    [own_one], [foreign] = caught(owner, bin_id), caught(owner, other)
    owner.see(f"bins/{bin_id}/compare?a={own_one}&b={foreign}", status=404)
    owner.see(f"bins/{bin_id}/captures/{foreign}", status=404)
    owner.see(f"bins/{bin_id}/captures/{foreign}/body", status=404)
    assert owner.send(f"bins/{bin_id}/captures/{foreign}/delete").status_code == 404
    assert caught(owner, other) == [foreign]
    answer = owner.client.get(f"bins/{bin_id}/compare?a={own_one}")
    assert answer.headers["location"] == f"/admin/bins/{bin_id}"
