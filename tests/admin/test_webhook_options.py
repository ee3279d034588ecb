"""A webhook's own options in the admin: set, mended, taken back, and seen wherever bytes are."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest

from admin.conftest import Person, problem_of

FORM: dict[str, Any] = {
    "name": "Own ways",
    "url": "https://example.com/hook",
    "event_types": "payment_received",
    "active": "on",
}


def value_of(html: str, field: str) -> str:
    """What stands in an input, or is chosen in a select."""
    found = re.search(rf'<input id="{field}"[^>]*? value="([^"]*)"', html)
    if found is None:
        chosen = html[html.index(f'<select id="{field}"') :]
        found = re.search(r'<option value="([^"]*)" selected', chosen)
    assert found is not None, field
    return unescape(found[1])


def test_they_are_saved_shown_and_taken_back(owner: Person) -> None:
    given = {
        "payload_style": "flat",
        "retry_schedule": "500ms, 5m,2h",
        "timeout": "10",
        "concurrency": "2",
    }
    endpoint = owner.webhook(**given)
    edit = owner.see(f"webhooks/{endpoint}")
    shown = {field: value_of(edit, field) for field in given}
    assert shown == given | {"retry_schedule": "500ms, 5m, 2h", "timeout": "10s"}
    assert re.search(r"<details open>\s*<summary>Advanced", edit)

    owner.do(f"webhooks/{endpoint}", **FORM, **shown)
    assert {field: value_of(owner.see(f"webhooks/{endpoint}"), field) for field in given} == shown
    owner.do(f"webhooks/{endpoint}", **FORM)
    edit = owner.see(f"webhooks/{endpoint}")
    assert [value_of(edit, field) for field in given] == ["accepted", "", "", ""]
    assert re.search(r"<details>\s*<summary>Advanced", edit)


def test_one_attempt_only_is_said_with_a_zero(owner: Person) -> None:
    endpoint = owner.webhook(retry_schedule="0")
    assert value_of(owner.see(f"webhooks/{endpoint}"), "retry_schedule") == "0"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("payload_style", "xml", "not one of the choices"),
        ("retry_schedule", "5s, soon, later", "not a duration such as"),
        ("retry_schedule", "5s, 0", "longer than nothing"),
        ("retry_schedule", "8d", "at most 7 days"),
        ("retry_schedule", "1s," * 21, "at most 20 waits"),
        ("timeout", "long", "not a duration such as"),
        ("timeout", "2m", "between 1 and 60 seconds"),
        ("concurrency", "many", "whole number"),
        ("concurrency", "65", "between 1 and 64"),
    ],
)
def test_what_is_wrong_is_told_beside_its_field(
    owner: Person, field: str, value: str, said: str
) -> None:
    for path in ("webhooks", f"webhooks/{owner.webhook()}"):
        answer = owner.send(path, **FORM | {field: value})
        assert answer.status_code == 422
        assert said in problem_of(answer.text, field)
        assert answer.text.count(f'id="{field}-problem"') == 1
        if field != "payload_style":
            assert value_of(answer.text, field) == value


def test_everything_that_is_wrong_is_told_at_once(owner: Person) -> None:
    """What the form cannot read, and what the service refuses."""
    endpoint = owner.webhook()
    wrong = {
        "name": "x",
        "url": "ftp://example.com",
        "rate_limit": "fast",
        "timeout": "0s",
        "headers": "host: evil.example",
        "metadata": "no colon",
        "secret": "whsec_short",
    }
    answer = owner.send("webhooks", **FORM | wrong)
    assert {field for field in wrong if not problem_of(answer.text, field)} == set()
    answer = owner.send(f"webhooks/{endpoint}", **FORM | wrong)
    beside = {field for field in wrong if not problem_of(answer.text, field)}
    assert beside == {"secret"}  # that has a page of its own


def test_nothing_is_saved_while_anything_is_wrong(owner: Person) -> None:
    endpoint = owner.webhook(name="As it was")
    answer = owner.send(
        f"webhooks/{endpoint}", **FORM | {"name": "Changed", "headers": "host: evil.example"}
    )
    assert answer.status_code == 422
    assert problem_of(answer.text, "headers")
    assert value_of(owner.see(f"webhooks/{endpoint}"), "name") == "As it was"


@pytest.mark.parametrize(
    ("style", "has"),
    [("envelope", '"type": "payment_received"'), ("flat", '"_event"'), ("legacy", '"webhook_id"')],
)
def test_what_is_sent_is_shown_as_it_was_sent(owner: Person, style: str, has: str) -> None:
    bin_id, catches = owner.bin()
    endpoint = owner.webhook(url=catches, payload_style=style)
    assert has in unescape(owner.send(f"webhooks/{endpoint}/test").text)

    message = owner.emit('{"payment_id":  1.50}')
    both_ends = owner.see_once(f"bins/{bin_id}", f"deliveries/{message}/")
    assert "the signature holds" in both_ends
    assert "The body arrived as it was sent, byte for byte." in both_ends
    delivery = unescape(owner.see_once(f"deliveries/{message}/{endpoint}", "state succeeded"))
    assert "The body is the payload in another style:" in delivery
    assert has in delivery[: delivery.index('id="payload"')]
    assert "1.50" in delivery

    # What was sent stays what it was, however the webhook is set afterwards.
    owner.do(f"webhooks/{endpoint}", **FORM | {"url": catches})
    assert "The body arrived as it was sent, byte for byte." in owner.see(f"bins/{bin_id}")
    assert "in another style" in owner.see(f"deliveries/{message}/{endpoint}")


def test_the_edit_page_shows_the_sample_in_the_style_of_the_webhook(owner: Person) -> None:
    heading = "As this webhook gets it"
    endpoint = owner.webhook()
    assert heading not in owner.see(f"webhooks/{endpoint}")
    owner.do(f"webhooks/{endpoint}", **FORM, payload_style="legacy")
    edit = unescape(owner.see(f"webhooks/{endpoint}"))
    assert f'"webhook_id": "{endpoint}"' in edit[edit.index(heading) :]

    path = "event-types/-/card?event_types=payment_received&payload_style="
    card = unescape(owner.see(f"{path}envelope"))
    shown = re.search(r"<code>(\{.*?)</code>", card[card.index(heading) :], re.DOTALL)
    assert shown is not None
    assert json.loads(shown[1])["type"] == "payment_received"
    for style in ("accepted", "nonsense", ""):
        assert heading not in owner.see(path + style)


def test_the_card_beside_the_form_is_asked_for_in_the_same_application(owner: Person) -> None:
    owner.do("settings/applications", name="Other", uid="card-app")
    html = owner.see("webhooks/-/new?app=card-app&event=payment_received")
    addresses = [unescape(each) for each in re.findall(r'hx-get="([^"]+/-/card[^"]*)"', html)]
    assert all("app=card-app" in each for each in addresses)
    card = owner.see(addresses[-1].removeprefix("/admin/"))  # of the event that is shown already
    assert "payment_id" in card


# --- trying a URL before there is a webhook -----------------------------------------------------


def webhooks(owner: Person) -> set[str]:
    return set(re.findall(r"ep_\w+", owner.see("webhooks")))


def test_a_url_is_tried_only_once_somebody_says_so(owner: Person) -> None:
    bin_id, catches = owner.bin()
    before = webhooks(owner)
    form = FORM | {"url": catches, "name": "", "payload_style": "flat", "headers": "x-a: b"}
    asked = owner.send("webhooks/-/try", **form)
    assert asked.status_code == 200
    assert catches in asked.text
    assert "Waiting for the first request" in owner.see(f"bins/{bin_id}")

    kept = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', asked.text)
    fields = {name: unescape(value) for name, value in kept if name != "csrf"}
    tried = owner.send("webhooks/-/try", **fields, sure="yes")
    assert "Test event sent" in tried.text
    assert "Open the delivery" not in tried.text
    assert '"_event": "payment_received"' in unescape(tried.text)
    caught = unescape(owner.see(f"bins/{bin_id}"))
    for text in ("stafett-test", "x-a", '"_event": "payment_received"'):
        assert text in caught
    assert webhooks(owner) == before
    assert "webhook.tried" in owner.see("settings/audit")
    message = re.search(r"msg_\w+", tried.text)
    assert message is not None
    owner.see(f"events/{message[0]}", status=404)


def test_the_verdict_on_a_tried_url_is_the_truth(owner: Person) -> None:
    bin_id, catches = owner.bin()
    owner.do(f"bins/{bin_id}/reply", status_code=503, body="away", headers="", delay="")
    answer = owner.send("webhooks/-/try", **FORM | {"url": catches}, sure="yes")
    assert "Test event failed" in answer.text
    assert "away" in answer.text


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("url", "https://10.1.2.3/hook", "STAFETT_ALLOW_NETWORKS"),
        ("url", "gopher://example.com", "http:// or https://"),
        ("headers", "no colon", "name: value"),
        ("secret", "whsec_short", "Signing secret"),
        ("event_types", "nobody_has_this", "there is no event type"),
        ("payload_style", "xml", "not one of the choices"),
    ],
)
def test_what_cannot_be_tried_is_told_and_not_sent(
    owner: Person, field: str, value: str, said: str
) -> None:
    answer = owner.send("webhooks/-/try", **FORM | {field: value}, sure="yes")
    assert answer.status_code == 422
    assert said in unescape(answer.text)
    assert 'name="sure"' not in answer.text
