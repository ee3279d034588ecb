"""Real processes: the command as a user starts it, in a folder of its own, on a port of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_COMMAND = (sys.executable, "-m", "stafett")
_WITHIN = 60
LOOPBACK = ("--allow-network", "127.0.0.0/8", "--allow-network", "::1/128")


class Machine:
    """A folder in which somebody types commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[subprocess.Popen[str]] = []

    @property
    def data(self) -> Path:
        return self.folder / "stafett-data"

    def run(
        self, *words: str, typed: str = "", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (*_COMMAND, *words),
            cwd=self.folder,
            env=_environment(env),
            input=typed,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=_WITHIN,
            check=False,
        )

    def ok(self, *words: str, typed: str = "") -> str:
        """What a command that must succeed prints."""
        done = self.run(*words, typed=typed)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "--json"))

    def start(self, *words: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            (*_COMMAND, *words),
            cwd=self.folder,
            env=_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        return process

    def serve(self, *words: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """A server that answers: its first line has been read."""
        process = self.start("serve", "--port", "0", *LOOPBACK, *words, env=env)
        first = line_of(process)
        if "Stafett serves at http://127.0.0.1:" not in first:
            pytest.fail(f"{first}{process.communicate()[1]}")
        return process

    def end(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=_WITHIN)


def _environment(more: dict[str, str] | None) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("STAFETT_")}
    return kept | (more or {})


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that it prints."""
    assert process.stdout is not None
    return process.stdout.readline()


def stop(process: subprocess.Popen[str]) -> int:
    """End a server as an init system does; its exit code."""
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=_WITHIN)
    return process.returncode


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A folder in which a server runs; the tests of a module share it."""
    made = Machine(tmp_path_factory.mktemp("served"))
    made.serve()
    made.ok("event-type", "add", "quiet", "--description", "What no test sends.")
    yield made
    made.end()


class SlowReceiver:
    """Takes a request, and answers it when it is told to."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/hook"
        self.came = threading.Event()
        self.may_answer = threading.Event()
        self.count = 0
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                self.count += 1
                self.came.set()
                self.may_answer.wait(_WITHIN)
                connection.sendall(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")

    def close(self) -> None:
        if self.may_answer.is_set() and self._listener.fileno() < 0:
            return
        self.may_answer.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def slow_receiver() -> Iterator[SlowReceiver]:
    made = SlowReceiver()
    yield made
    made.close()
