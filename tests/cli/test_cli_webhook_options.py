"""A webhook's own options, as typed in a shell."""

from __future__ import annotations

from typing import Any

import pytest

URL = "https://example.com/hook"


def test_they_are_given_and_shown(served: Any) -> None:
    made = served.json(
        *("webhook", "add", "Own ways", URL, "--event", "quiet", "--payload-style", "envelope"),
        *("--retry-schedule", "500ms,5m", "--timeout", "10s", "--concurrency", "2"),
    )
    assert made["payloadStyle"] == "envelope"
    assert made["retrySchedule"] == [0.5, 300]
    assert (made["timeout"], made["concurrency"]) == (10, 2)
    shown = served.ok("webhook", "show", made["id"])
    for line in (
        "payload style     envelope",
        "retry schedule    500ms,5m",
        "timeout           10s",
        "concurrency       2",
    ):
        assert line in shown


def test_without_them_it_is_as_the_server_is_set(served: Any) -> None:
    made = served.json("webhook", "add", "Usual ways", URL, "--event", "quiet")
    assert made["payloadStyle"] == "accepted"
    assert {"retrySchedule", "timeout", "concurrency"}.isdisjoint(made)
    once = served.json("webhook", "add", "Once", URL, "--event", "quiet", "--retry-schedule", "")
    assert once["retrySchedule"] == []
    assert "one attempt" in served.ok("webhook", "show", once["id"])


@pytest.mark.parametrize(
    ("option", "text", "code"),
    [
        ("--payload-style", "xml", 2),
        ("--retry-schedule", "5s,soon", 2),
        ("--timeout", "", 2),
        ("--timeout", "2m", 1),
        ("--concurrency", "many", 2),
        ("--concurrency", "0", 1),
    ],
)
def test_what_is_wrong_is_said_with_the_option(
    served: Any, option: str, text: str, code: int
) -> None:
    done = served.run("webhook", "add", "Wrong", URL, option, text)
    assert done.returncode == code, done.stderr
    assert option.strip("-").split("-")[0] in done.stderr
