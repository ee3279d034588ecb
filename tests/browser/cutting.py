"""A line between a browser and a server that a test can cut and mend."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

from typing_extensions import override


class Line(socketserver.ThreadingTCPServer):
    """Passes bytes on both ways. While it is cut, who comes is sent away."""

    daemon_threads = True
    block_on_close = False  # a browser keeps connections for as long as it likes

    def __init__(self, port: int) -> None:
        """`port`: where the server is."""
        super().__init__(("127.0.0.1", 0), _Passing)
        self.to = port
        self.is_cut = False
        self.ends: set[socket.socket] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def cut(self) -> None:
        """End every connection, and let none through."""
        self.is_cut = True
        for each in list(self.ends):
            _end(each)

    def mend(self) -> None:
        self.is_cut = False


class _Passing(socketserver.BaseRequestHandler):
    server: Line  # pyright: ignore[reportIncompatibleVariableOverride] - it has no other

    @override
    def handle(self) -> None:
        if self.server.is_cut:
            return
        with socket.create_connection(("127.0.0.1", self.server.to)) as far:
            self.server.ends |= {self.request, far}
            back = threading.Thread(target=_pass_on, args=(far, self.request), daemon=True)
            back.start()
            _pass_on(self.request, far)
            back.join()
            self.server.ends -= {self.request, far}


def _pass_on(source: socket.socket, to: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            to.sendall(data)
    except OSError:
        pass  # it was cut
    finally:
        _end(source)
        _end(to)


def _end(each: socket.socket) -> None:
    with suppress(OSError):  # it has ended already
        each.shutdown(socket.SHUT_RDWR)


@contextmanager
def line_to(url: str) -> Generator[Line]:
    made = Line(int(url.rpartition(":")[2]))
    thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.cut()
        made.shutdown()
        thread.join()
        made.server_close()
