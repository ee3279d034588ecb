"""A receiver that answers as it is told, request by request, and remembers what came."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from typing_extensions import override

Answer = tuple[int, Mapping[str, str]]


class Receiver(ThreadingHTTPServer):
    """Gives one answer after the other, the last one for ever."""

    daemon_threads = True

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._answers = list(answers)
        self._lock = threading.Lock()
        self.heads: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.times: list[float] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.server_address[1]}/hook"

    def next_answer(self, head: Mapping[str, str], body: bytes) -> Answer:
        with self._lock:
            self.times.append(time.monotonic())
            self.bodies.append(body)
            self.heads.append({name.lower(): value for name, value in head.items()})
            return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver  # pyright: ignore[reportIncompatibleVariableOverride] - it has no other

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status, headers = self.server.next_answer(dict(self.headers.items()), body)
        self.server.may_answer.wait(timeout=30)
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", "0")
        self.end_headers()

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a test reads `heads`."""


@contextmanager
def receiving(*answers: Answer | int, tls: ssl.SSLContext | None = None) -> Generator[Receiver]:
    made = Receiver(*((each, {}) if isinstance(each, int) else each for each in answers))
    if tls is not None:
        made.socket = tls.wrap_socket(made.socket, server_side=True)
    thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.may_answer.set()
        made.shutdown()
        thread.join()
        made.server_close()
