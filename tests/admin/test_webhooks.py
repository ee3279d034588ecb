"""Webhooks as somebody sees them who clicks: adding, editing, testing, switching, deleting."""

from __future__ import annotations

import base64
import re
import socket
import time
from html import unescape

import pytest

from admin.conftest import NASTY, Person, problem_of
from stafett import signing


def row(html: str, endpoint: str) -> str:
    """One row of the list."""
    start = html.index(f"webhooks/{endpoint}")
    return html[start : html.index("</tr>", start)]


def dead_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_webhook_is_added_and_stands_in_the_list(owner: Person) -> None:
    where = owner.do(
        "webhooks",
        name="New customers",
        url="https://example.com/a-rather-long-path",
        event_types=["customer_created", "payment_received"],
        active="on",
        headers="x-tenant: acme",
        metadata="team: crm",
        channels="a, b",
        rate_limit="10",
        header_family="both",
        description="For the mailing list",
    )
    html = owner.see(where)
    assert "Webhook added." in html
    found = re.search(r"new=(ep_\w+)", where)
    assert found is not None
    shown = row(html, found[1])
    for text in ("New customers", "Customer Created, Payment Received", "Manual", "Yes"):
        assert text in shown
    edit = owner.see(f"webhooks/{found[1]}")
    for text in ("x-tenant: acme", "team: crm", "a, b", 'value="10"', "For the mailing list"):
        assert text in edit


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "", "at least 2 characters"),
        ("name", "a", "at least 2 characters"),
        ("url", "example.com/hook", "http:// or https://"),
        ("url", "ftp://example.com", "http:// or https://"),
        ("url", "javascript:alert(1)", "http:// or https://"),
        ("url", "http://169.254.169.254/latest", ""),
        ("rate_limit", "fast", "whole number"),
        ("rate_limit", "0", "between 1 and"),
        ("headers", "no colon here", "name: value"),
        ("headers", "host: evil.example", ""),
        ("secret", "whsec_short", ""),
    ],
)
def test_what_is_wrong_is_told_beside_its_field_and_the_input_kept(
    owner: Person, field: str, value: str, said: str
) -> None:
    form = {"name": "Odd one", "url": "https://example.com/x", field: value}
    answer = owner.send("webhooks", event_types="payment_received", active="on", **form)
    assert answer.status_code == 422
    problem = problem_of(answer.text, field)
    assert problem, answer.text
    assert said in problem
    assert value in unescape(answer.text)
    assert "Odd one" not in owner.see("webhooks")


def test_an_event_has_to_be_chosen(owner: Person) -> None:
    answer = owner.send("webhooks", name="None", url="https://example.com/x", active="on")
    assert "Choose at least one event" in problem_of(answer.text, "event_types")
    found = owner.webhook(event_types=[], every_event="on", name="Everything")
    assert "All events" in row(owner.see("webhooks"), found)


def test_a_private_address_is_refused_and_it_is_said_how_to_allow_it(owner: Person) -> None:
    answer = owner.send("webhooks", name="Inside", url="https://10.1.2.3/hook", every_event="on")
    assert "STAFETT_ALLOW_NETWORKS" in problem_of(answer.text, "url")


def test_a_test_event_arrives_and_is_not_counted(owner: Person) -> None:
    _, catches = owner.bin()
    endpoint = owner.webhook(url=catches)
    answer = owner.send(f"webhooks/{endpoint}/test")
    assert "Test event sent" in answer.text
    assert re.search(r"\d+ ms", answer.text)
    assert "stafett-test" in answer.text
    assert '<td class="number" data-label="Count">0</td>' in row(owner.see("webhooks"), endpoint)


@pytest.mark.parametrize("status", [204, 201, 500, 410, 302])
def test_the_verdict_is_the_truth(owner: Person, status: int) -> None:
    bin_id, catches = owner.bin()
    owner.do(f"bins/{bin_id}/reply", status_code=status, body="", headers="", delay="")
    endpoint = owner.webhook(url=catches)
    answer = owner.send(f"webhooks/{endpoint}/test")
    assert ("Test event sent" in answer.text) == (status < 300)
    assert ("Test event failed" in answer.text) == (status >= 300)
    assert f">{status}</span>" in answer.text


def test_a_receiver_that_is_not_there_is_named(owner: Person) -> None:
    endpoint = owner.webhook(url=f"http://127.0.0.1:{dead_port()}/x")
    answer = owner.send(f"webhooks/{endpoint}/test")
    assert "Test event failed" in answer.text
    assert "Nothing listens there" in answer.text


def test_a_webhook_that_is_off_can_be_tested(owner: Person) -> None:
    _, catches = owner.bin()
    where = owner.do("webhooks", name="Asleep", url=catches, event_types="payment_received")
    endpoint = where.partition("new=")[2]
    assert ">No</span>" in row(owner.see("webhooks"), endpoint)
    assert "Test event sent" in owner.send(f"webhooks/{endpoint}/test").text
    assert "Switched off by hand." in owner.see(f"webhooks/{endpoint}")
    owner.do(f"webhooks/{endpoint}/switch", to="on")
    assert ">Yes</span>" in row(owner.see("webhooks"), endpoint)


def test_a_real_event_is_counted_and_its_delivery_shown(owner: Person) -> None:
    _, catches = owner.bin()
    endpoint = owner.webhook(url=catches, name="Counted")
    message = owner.emit('{"payment_id": 77}')
    owner.see_once(f"deliveries/{message}/{endpoint}", "state succeeded")
    assert '<td class="number" data-label="Count">1</td>' in row(owner.see("webhooks"), endpoint)
    listed = owner.see(f"deliveries?endpoint={endpoint}")
    assert f"deliveries/{message}/{endpoint}" in listed
    owner.do(f"deliveries/{message}/{endpoint}/resend")
    refused = owner.send(f"deliveries/{message}/{endpoint}/cancel")
    assert refused.status_code in {303, 409}


def test_search_filters_and_sorting(owner: Person) -> None:
    first = owner.webhook(name="Zebra", url="https://zebra.example/hook")
    second = owner.webhook(name="Aardvark", url="https://aardvark.example/hook")
    owner.do(f"webhooks/{second}/switch", to="off")
    found = owner.see("webhooks?text=zebra.example")
    assert first in found
    assert second not in found
    assert second in owner.see("webhooks?active=no")
    assert first not in owner.see("webhooks?active=no")
    assert first not in owner.see("webhooks?event=customer_created")
    up = owner.see("webhooks?sort=name")
    assert up.index(second) < up.index(first)
    down = owner.see("webhooks?sort=-name")
    assert down.index(first) < down.index(second)
    for name in ("url", "event", "count", "integration", "active", "last", "id", "nonsense"):
        owner.see(f"webhooks?sort=-{name}")


def test_several_are_changed_together_and_deleting_is_asked_for_twice(owner: Person) -> None:
    chosen = [owner.webhook(name=f"Several {n}") for n in range(3)]
    owner.do("webhooks/-/several", webhook=chosen, action="deactivate")
    html = owner.see("webhooks")
    assert all(">No</span>" in row(html, each) for each in chosen)
    asked = owner.send("webhooks/-/several", webhook=chosen, action="delete")
    assert "Delete for good?" in asked.text
    assert all(each in owner.see("webhooks") for each in chosen)
    owner.do("webhooks/-/several", webhook=chosen, action="delete", sure="yes")
    assert not any(each in owner.see("webhooks") for each in chosen)


def test_a_secret_is_shown_and_rotated(owner: Person) -> None:
    endpoint = owner.webhook()
    shown = re.search(r"whsec_[\w+/=]+", owner.send(f"webhooks/{endpoint}/secret").text)
    rotated = re.search(r"whsec_[\w+/=]+", owner.send(f"webhooks/{endpoint}/rotate").text)
    assert shown is not None
    assert rotated is not None
    assert shown[0] != rotated[0]
    assert "whsec_" not in owner.see(f"webhooks/{endpoint}").replace("whsec_…", "")


def test_the_value_of_a_secret_header_is_hidden_and_stays(owner: Person) -> None:
    bin_id, catches = owner.bin()
    endpoint = owner.webhook(url=catches, headers="authorization: Bearer hidden-thing")
    assert "hidden-thing" not in owner.see(f"webhooks/{endpoint}")
    owner.do(
        f"webhooks/{endpoint}",
        name="Renamed",
        url=catches,
        event_types="payment_received",
        active="on",
        headers="authorization: (hidden)",
    )
    assert "hidden-thing" not in owner.send(f"webhooks/{endpoint}/test").text
    capture = re.search(r"captures/(cap_\w+)", owner.see(f"bins/{bin_id}"))
    assert capture is not None
    assert "hidden-thing" in owner.send(f"bins/{bin_id}/captures/{capture[1]}/reveal").text


def test_what_failed_is_counted_before_it_is_sent_again(owner: Person) -> None:
    gone = owner.webhook(url=f"http://127.0.0.1:{dead_port()}/x", event_types="refund_issued")
    nothing = owner.send(f"webhooks/{gone}/recover", hours="1")
    assert "There is nothing here that can be sent again." in nothing.text
    assert 'name="sure"' not in nothing.text
    for _ in range(2):
        owner.emit(event="refund_issued")
    owner.do(f"webhooks/{gone}/switch", to="off")  # gives up what waits
    end = time.monotonic() + 20
    while "Send 2 again" not in owner.send(f"webhooks/{gone}/recover", hours="1").text:
        assert time.monotonic() < end  # one may still be under way


def test_what_failed_is_sent_again_on_demand(owner: Person) -> None:
    endpoint = owner.webhook(url=f"http://127.0.0.1:{dead_port()}/x")
    assert owner.send(f"webhooks/{endpoint}/recover", hours="many").status_code == 400
    where = owner.do(f"webhooks/{endpoint}/recover", hours="24", sure="yes")
    assert where.startswith(f"deliveries?endpoint={endpoint}")


def test_what_strangers_write_is_only_text(owner: Person) -> None:
    endpoint = owner.webhook(name=f"x{NASTY[:-4]}", description=NASTY, metadata=f"a: {NASTY}")
    for path in ("webhooks", f"webhooks/{endpoint}", "deliveries", ""):
        html = owner.see(path)
        assert "<script>alert" not in html
        assert "\u202e" not in html or path == f"webhooks/{endpoint}"


def test_available_events_stand_at_the_foot(owner: Person) -> None:
    html = owner.see("webhooks")
    foot = html[html.index('id="available"') :]
    assert foot.count("<details") >= 30
    assert "payment_received" in foot
    assert "v1.payment_received" not in foot


def test_the_public_key_is_shown_beside_a_secret_that_signs_with_ed25519(owner: Person) -> None:
    seed = "whsk_" + base64.b64encode(bytes(range(32))).decode()
    url = "https://example.com/hook"
    where = owner.do(
        "webhooks", name="Signed", url=url, event_types="payment_received", secret=seed
    )
    endpoint = where.partition("new=")[2]

    shown = unescape(owner.send(f"webhooks/{endpoint}/secret").text)

    assert seed in shown
    assert str(signing.public_key(seed)) in shown
