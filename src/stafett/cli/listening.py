"""The socket a server listens on, and the address under which this machine reaches it."""

from __future__ import annotations

import errno
import socket
import sys
from typing import Final

from stafett.cli import client

BACKLOG: Final = 2048
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


class PortInUse(client.Failure):
    """Somebody else listens there."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Errors: Failure, also where the port is in use."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        message = f"cannot listen on {host!r}: {error.strerror or error}"
        raise client.Failure(message) from None
    try:
        if sys.platform != "win32":  # there it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _not_bound(host, port, error) from None
    return listener


def _not_bound(host: str, port: int, error: OSError) -> client.Failure:
    if error.errno == errno.EADDRINUSE:
        message = f"port {port} on {host} is in use; choose another with --port (0: any free one)"
        return PortInUse(message)
    return client.Failure(f"cannot listen on {host} port {port}: {error.strerror or error}")


def address_of(listener: socket.socket) -> str:
    """The URL under which this machine reaches it."""
    bound, port = listener.getsockname()[:2]
    host = _WILDCARDS.get(bound, str(bound))
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
