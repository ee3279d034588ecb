"""Bins that fail on purpose, requests that are pinned, and a message's tries, in the admin."""

from __future__ import annotations

import re

import httpx
import pytest

from admin.conftest import Person, problem_of
from stafett.services import replies
from stafett.web.admin.languages import language, names

REPLY = {
    "status_code": "200",
    "headers": "",
    "body": "",
    "delay": "0",
    "mode": "whole",
    "drip_every": "1000",
    "times": "0",
}


def numbers(html: str) -> list[int]:
    """All that are listed, from above."""
    return [int(each) for each in re.findall(r'data-number="(\d+)"', html)]


def capture_of(owner: Person, bin_id: str, number: int) -> str:
    """The id of a listed request."""
    found = re.search(
        rf'data-number="{number}"><a href="[^"]*captures/(cap_\w+)', owner.see(f"bins/{bin_id}")
    )
    assert found is not None
    return found[1]


# --- replies ----------------------------------------------------------------------------------


def test_a_bin_fails_as_often_as_it_is_told(owner: Person) -> None:
    bin_id, catches = owner.bin()
    owner.do(f"bins/{bin_id}/reply", **REPLY | {"status_code": "503", "times": "1"})
    answers = [httpx.post(catches, headers={"webhook-id": "a"}).status_code for _ in range(2)]
    assert answers == [503, 200]
    assert "What it answers: 503 (1x for each message, then 200)" in words_of(
        owner.see(f"bins/{bin_id}")
    )


def words_of(html: str) -> str:
    """Without line ends and repeated spaces."""
    return " ".join(html.split())


def test_a_drip_and_a_hang_can_be_typed(owner: Person) -> None:
    bin_id, catches = owner.bin()
    drip = REPLY | {"mode": "drip", "drip_every": "10", "body": "abc"}
    owner.do(f"bins/{bin_id}/reply", **drip)
    assert httpx.post(catches).text == "abc"
    html = owner.see(f"bins/{bin_id}")
    assert '<option value="drip" selected>' in html
    assert 'id="drip_every" name="drip_every" type="text" value="10"' in html
    owner.do(f"bins/{bin_id}/reply", **REPLY | {"mode": "hang"})
    assert "What it answers: nothing: it hangs" in words_of(owner.see(f"bins/{bin_id}"))
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(catches, timeout=0.5)
    assert "not answered" in owner.see(f"bins/{bin_id}")


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("times", "101", "Must be between 0 and 100"),
        ("times", "often", "Must be a whole number"),
        ("mode", "explode", "Must be one of the list"),
        ("drip_every", "1", "Must be between 10 milliseconds and 30 seconds"),
        ("chance", "2", "'2' is not a number from 0 to 1"),
        ("chance", "1.5", "Must be between 0 and 1"),
        ("seed", "x", "Must be a whole number"),
        ("retry_date", "604800001", "Must be between 0 and 7 days"),
        ("size", "104857601", "Must be between 0 and 104857600 bytes"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(
    owner: Person, field: str, value: str, problem: str
) -> None:
    bin_id, _ = owner.bin()
    typed = REPLY | {"mode": "drip", "body": "x", field: value}
    answer = owner.send(f"bins/{bin_id}/reply", **typed)
    assert answer.status_code == 422
    assert problem_of(answer.text, field) == problem


def test_a_broken_reply_by_chance_can_be_typed(owner: Person) -> None:
    bin_id, catches = owner.bin()
    typed = {"mode": "truncated", "body": "halves", "chance": "0.25", "seed": "7", "times": "2"}
    owner.do(f"bins/{bin_id}/reply", **REPLY | typed)
    html = owner.see(f"bins/{bin_id}")
    told = "200, half of the body, then the end (by a chance of 0.25, otherwise 200) (2x for each"
    assert told in words_of(html)
    assert '<option value="truncated" selected>' in html
    for name, value in (("chance", "0.25"), ("seed", "7")):
        assert f'id="{name}" name="{name}" type="text" value="{value}"' in html
    owner.do(f"bins/{bin_id}/reply", **REPLY | typed | {"chance": "", "seed": "", "times": ""})
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(catches)


def test_a_chance_is_written_as_its_reader_writes_it(owner: Person) -> None:
    bin_id, _ = owner.bin()
    owner.do(f"bins/{bin_id}/reply", **REPLY | {"chance": "0,25"})
    assert "(by a chance of 0.25, otherwise 200)" in words_of(owner.see(f"bins/{bin_id}"))
    norwegian = owner.client.get(f"bins/{bin_id}", headers={"accept-language": "nb"})
    html = norwegian.text
    assert "(med en sannsynlighet på 0,25, ellers 200)" in words_of(html)
    assert 'name="chance" type="text" value="0,25"' in html


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ({"mode": "reset"}, "nothing: it resets the connection"),
        ({"mode": "loop", "status_code": "307"}, "307, a redirect to itself"),
        ({"mode": "oversized", "size": "2000000"}, "200, with a body that is too large"),
        ({"mode": "flood", "size": "40000"}, "200, with too many headers"),
        ({"mode": "bad_chunk"}, "200, in chunks, one of them without a length"),
    ],
)
def test_the_list_says_how_a_bin_answers(owner: Person, reply: dict[str, str], told: str) -> None:
    bin_id, _ = owner.bin()
    owner.do(f"bins/{bin_id}/reply", **REPLY | reply)
    row = words_of(owner.see("bins")).partition(f"bins/{bin_id}")[2].partition("</tr>")[0]
    assert told in row


def test_what_delivery_does_stands_beside_each_choice(owner: Person) -> None:
    bin_id, _ = owner.bin()
    html = words_of(owner.see(f"bins/{bin_id}"))
    choices = html.partition("Fill in:")[2].partition("</ul>")[0]
    told = dict(re.findall(r'reply=([a-z-]+)#reply">[^<]+</a><p class="hint">([^<]+)<', choices))
    assert list(told) == list(replies.USUAL)
    assert told["gone"] == "Stafett switches the webhook off."
    assert told["flood"].startswith("It is no proper reply")
    assert "<p>After that: It is delivered.</p>" in html
    owner.do(f"bins/{bin_id}/reply", **REPLY | {"mode": "hang"})
    assert "<p>After that: Stafett gives up" in owner.see(f"bins/{bin_id}")


def test_what_delivery_does_is_said_in_every_language() -> None:
    for code in names().keys() - {"en"}:
        said = language(code).said
        assert [each for each in replies.Sequel if said(each) == each] == []


def test_the_usual_replies_fill_the_form_and_change_nothing(owner: Person) -> None:
    bin_id, catches = owner.bin()
    html = owner.see(f"bins/{bin_id}?reply=busy")
    assert 'value="429"' in html
    assert "retry-after: 60" in html
    assert '<details class="card spaced" id="reply" open>' in html
    assert httpx.post(catches).status_code == 200
    assert 'value="200"' in owner.see(f"bins/{bin_id}?reply=nonsense")


def test_a_bin_can_be_made_with_a_usual_reply(owner: Person) -> None:
    where = owner.do("bins", name="gone", reply="gone")
    html = owner.see(where)
    found = re.search(r"http://[^<\s]+/in/[0-9a-f]+", html)
    assert found is not None
    assert httpx.post(found[0]).status_code == 410
    answer = owner.send("bins", reply="fial")
    assert answer.status_code == 422
    assert "is no reply" in problem_of(answer.text, "reply")


# --- pins -------------------------------------------------------------------------------------


def test_a_pinned_request_stands_first_and_stays(owner: Person) -> None:
    bin_id, catches = owner.bin()
    for _ in range(3):
        httpx.post(catches)
    first = capture_of(owner, bin_id, 1)
    owner.do(f"bins/{bin_id}/captures/{first}/pin")
    html = owner.see(f"bins/{bin_id}")
    assert numbers(html) == [1, 3, 2]
    assert "Pinned" in html.partition('data-number="1"')[0]
    assert ">Unpin<" in owner.see(f"bins/{bin_id}/captures/{first}")
    owner.do(f"bins/{bin_id}/clear")
    html = owner.see(f"bins/{bin_id}")
    assert numbers(html) == [1]
    assert "Waiting for the first request" not in html
    assert first in html.partition("<h3>")[2]  # it is the one that is shown
    owner.do(f"bins/{bin_id}/captures/{first}/unpin")
    assert ">Pin<" in owner.see(f"bins/{bin_id}/captures/{first}")
    owner.do(f"bins/{bin_id}/clear")
    assert numbers(owner.see(f"bins/{bin_id}")) == []
    for action in ("capture.pinned", "capture.unpinned"):
        assert action in owner.see("settings/audit")


def test_a_pinned_newest_request_does_not_come_live_again(owner: Person) -> None:
    bin_id, catches = owner.bin()
    for _ in range(2):
        httpx.post(catches)
    owner.do(f"bins/{bin_id}/captures/{capture_of(owner, bin_id, 2)}/pin")
    assert f"bins/{bin_id}/live?after=2" in owner.see(f"bins/{bin_id}")


def test_a_request_that_is_gone_cannot_be_pinned(owner: Person) -> None:
    bin_id, catches = owner.bin()
    httpx.post(catches)
    capture = capture_of(owner, bin_id, 1)
    owner.do(f"bins/{bin_id}/clear")
    assert owner.send(f"bins/{bin_id}/captures/{capture}/pin").status_code == 404


# --- the tries of a message -------------------------------------------------------------------


def test_the_tries_of_another_sender_stand_beside_the_promise(owner: Person) -> None:
    bin_id, catches = owner.bin()
    owner.do(f"bins/{bin_id}/reply", **REPLY | {"status_code": "500", "times": "1"})
    for webhook_id in ("<b>x", "y", "<b>x", "<b>x"):
        httpx.post(catches, headers={"webhook-id": webhook_id})
    html = words_of(owner.see(f"bins/{bin_id}"))
    tries = html.partition("All requests of this message")[2].partition("</ol>")[0]
    assert re.findall(r"#(\d)<", tries) == ["1", "3", "4"]
    assert re.findall(r'class="badge[^>]*>([^<]+)<', tries) == [
        "first try",
        "early",
        "after a success",
    ]
    assert tries.count("promised: 5.0 s to 22.0 s") == 1  # 5 s, the jitter, an attempt of 15 s
    assert "answered 500" in tries
