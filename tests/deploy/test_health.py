"""`stafett health`: what a container runtime learns from an exit code."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest
from typing_extensions import override

from cli.conftest import Machine, stop

_ANSWERS = {
    "/under/health": (200, b'{"status":"ok"}'),
    "/under/ready": (503, b'{"status":"not ready","reasons":["disk"]}'),
    "/health": (200, b"<h1>It works!</h1>"),
}


class _Unwell(http.server.BaseHTTPRequestHandler):
    """Lives, but should get no traffic."""

    def do_GET(self) -> None:
        status, body = _ANSWERS[self.path]
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def unwell() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Unwell)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/under"
    server.shutdown()
    server.server_close()


def test_a_server_is_found_in_the_data_folder_and_lives_until_it_ends(machine: Machine) -> None:
    process = machine.serve()
    url = json.loads((machine.data / "server.json").read_text())["url"]

    assert machine.ok("health") == f"{url} lives\n"
    assert machine.ok("health", "--ready") == f"{url} is ready\n"
    assert machine.json("health", "--ready") == {"status": "ready"}
    assert stop(process) == 0

    done = machine.run("health")
    assert done.returncode == 1
    assert "no server is running" in done.stderr


def test_a_named_folder_goes_before_the_environment(machine: Machine) -> None:
    machine.serve()
    elsewhere = {"STAFETT_URL": "http://127.0.0.1:1"}

    assert machine.run("health", env=elsewhere).returncode == 1
    assert machine.run("health", "--data", "stafett-data", env=elsewhere).returncode == 0


def test_one_that_lives_and_is_not_ready_says_why(machine: Machine, unwell: str) -> None:
    assert machine.ok("health", "--url", unwell) == f"{unwell} lives\n"

    done = machine.run("health", "--url", unwell, "--ready")

    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {unwell}/ready answered 503: ")
    assert '"reasons":["disk"]' in done.stderr


def test_what_is_not_stafett_is_not_well(machine: Machine, unwell: str) -> None:
    done = machine.run("health", "--url", unwell.removesuffix("/under"))

    assert done.returncode == 1
    assert "answered 200: <h1>It works!</h1>" in done.stderr


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "https://127.0.0.1:1", "http://[::1", "http://a:b"]
)
def test_no_answer_is_exit_code_1(machine: Machine, url: str) -> None:
    done = machine.run("health", "--url", url)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("Error: ")
