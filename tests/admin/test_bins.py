"""Request bins as somebody sees them who waits for a request."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from admin.conftest import NASTY, Person, problem_of


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
    html = json.loads(data.removeprefix("data:"))["html"]
    assert html.startswith('<li data-number="1"')
    httpx.post(catches, content=b"second")
    more = headers | {"last-event-id": "1"}
    with owner.client.stream("GET", f"bins/{bin_id}/live", headers=more) as stream:
        assert next(each for each in stream.iter_lines() if each.startswith("id:")) == "id: 2"


def test_our_own_message_is_shown_with_both_its_ends(owner: Person) -> None:
    bin_id, catches = owner.bin()
    owner.webhook(url=catches, name="Both ends")
    message = owner.emit('{"payment_id":  5}')
    html = owner.see_once(f"bins/{bin_id}", message)
    assert "the signature holds" in html
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
    assert "@body.bin" in html
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
    assert "hidden" not in owner.see(path).replace("Show hidden values", "")
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
        for markup in ("<script>alert", "<img src", "<svg onload", "\u202e"):
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
