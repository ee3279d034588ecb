"""The demo: what a new user sees, and that it may be run again."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import urllib.request
from typing import Any

LAST = "goes on serving; Ctrl-C stops it."


def _transcript(process: subprocess.Popen[str]) -> str:
    """What it prints until it only serves."""
    assert process.stdout is not None
    told = ""
    for line in process.stdout:
        told += line
        if LAST in line:
            return told
    raise AssertionError(told + process.communicate()[1])


def _end(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    return process.returncode


def test_the_demo_shows_one_event_arriving_and_goes_on_serving(machine: Any):
    process = machine.start("demo", "--port", "0")

    told = _transcript(process)

    assert re.search(r"^Sent +msg_\w{27}  payment_received", told, re.MULTILINE)
    assert re.search(r"^Delivered +atmpt_\w{27}  200 in \d+ ms$", told, re.MULTILINE)
    assert re.search(r"^  POST /in/\w+$", told, re.MULTILINE)
    assert re.search(r"^  webhook-signature: v1,\S+$", told, re.MULTILINE)
    assert "signature was verified" in told
    for page in re.findall(r"http://\S+/(?:docs|health)", told):
        with urllib.request.urlopen(page, timeout=30) as answer:
            assert answer.status == 200
    assert "success" in machine.ok("emit", "payment_received", "--wait")
    assert _end(process) == 0


def test_the_demo_uses_what_is_there_from_the_last_time_also_on_another_port(machine: Any):
    first = machine.start("demo", "--port", "0")
    _transcript(first)
    assert _end(first) == 0
    second = machine.start("demo", "--port", "0")

    told = _transcript(second)

    assert re.search(r"^Delivered .* 200 in", told, re.MULTILINE)
    assert len(machine.json("webhook", "list")["data"]) == 1
    assert [each["captureCount"] for each in machine.json("bin", "list")["data"]] == [2]
    assert _end(second) == 0


def test_a_port_that_was_asked_for_is_not_exchanged(machine: Any):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = machine.run("demo", "--port", str(taken.getsockname()[1]))

    assert done.returncode == 1
    assert "in use" in done.stderr


def test_without_its_event_the_demo_ends_with_the_reason(machine: Any):
    done = machine.run("demo", "--port", "0", env={"STAFETT_CATALOG": "none"})

    assert done.returncode == 1
    assert "payment_received" in done.stderr
    assert "STAFETT_CATALOG=multisite" in done.stderr
    assert not (machine.data / "server.json").exists()
