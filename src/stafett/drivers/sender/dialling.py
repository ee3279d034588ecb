"""Opens connections, and only to where we may send.

Invariant: not one packet goes to an address that the egress policy did not allow as the very
address dialled. Names are resolved once a connection; nothing below this file resolves again.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
import ssl
from collections.abc import Sequence
from typing import Final, final

from stafett import egress
from stafett.drivers.resolver import Address, LookupFailed, Resolver
from stafett.drivers.sender.connection import Connection
from stafett.drivers.sender.failure import SendFailed
from stafett.model import FailureCause

CONNECT_SECONDS: Final = 5.0
"""For one address; a share of it when there are more to try."""
MAX_DIALLED: Final = 4
"""Addresses of one name that are tried one after another."""

# No receiver is to blame for them.
_OUR_LACK: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = logging.getLogger("stafett.egress")


def default_tls() -> ssl.SSLContext:
    """Verifies names against the system's authorities, TLS 1.2 or later, HTTP/1.1 only."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


@final
class Dialler:
    """Connects to targets under one policy."""

    def __init__(self, policy: egress.Policy, resolver: Resolver, *, tls: ssl.SSLContext) -> None:
        self._policy = policy
        self._resolver = resolver
        self._tls = tls

    async def dial(self, target: egress.Target, connection: Connection) -> None:
        """Make `connection` stand, TLS done. The caller holds the deadline.

        Errors: SendFailed.
        """
        addresses = await self._vetted(target)
        connection.socket = await _connect(addresses[:MAX_DIALLED], target.port)
        try:
            await self._hand_over(connection.socket, target, connection)
        except BaseException:
            # The loop's transport owns the descriptor by now and closes it; but in the middle of a
            # handshake it would wait for the peer first, so it is told that nothing will come.
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)
            raise

    async def _vetted(self, target: egress.Target) -> Sequence[Address]:
        """Every address of the target, all of them allowed.

        One that is not condemns the whole name: a name that points inside and outside at once is
        either an attack or a mistake, and which one would be dialled is chance.
        """
        self._admit(target, target.host, egress.vet_target(target, policy=self._policy))
        if target.address is not None:
            addresses: Sequence[Address] = (target.address,)
        else:
            try:
                addresses = await self._resolver.resolve(target.host)
            except LookupFailed as error:
                raise SendFailed(FailureCause.DNS_FAILED, str(error)) from error
        for address in addresses:
            self._admit(target, str(address), egress.vet(address, policy=self._policy))
        return [egress.unwrap(address) for address in addresses]

    def _admit(self, target: egress.Target, place: str, verdict: egress.Verdict) -> None:
        """Go on, or tell the operator why not, and the tenant only that."""
        if verdict.allowed:
            return
        _log.warning(
            "event=egress.refused host=%s address=%s reason=%r reference=%r",
            target.host,
            place,
            verdict.reason,
            verdict.reference,
        )
        detail = f"{target.host} is not a place that may be sent to: {egress.HINT}"
        raise SendFailed(FailureCause.TARGET_NOT_ALLOWED, detail)

    async def _hand_over(
        self, sock: socket.socket, target: egress.Target, connection: Connection
    ) -> None:
        """Let the event loop run the connected socket, under TLS where the target wants it."""
        loop = asyncio.get_running_loop()
        if not target.tls:
            await loop.create_connection(lambda: connection, sock=sock)
            return
        try:
            await loop.create_connection(
                lambda: connection, sock=sock, ssl=self._tls, server_hostname=target.host
            )
        except ssl.SSLCertVerificationError as error:
            detail = f"the endpoint's certificate is not valid: {error.verify_message}"
            raise SendFailed(FailureCause.TLS_FAILED, detail) from error
        except (OSError, ValueError) as error:
            detail = "the TLS handshake failed"
            if isinstance(error, ssl.SSLError) and error.reason:
                detail += f": {error.reason.replace('_', ' ').lower()}"
            raise SendFailed(FailureCause.TLS_FAILED, detail) from error


async def _connect(addresses: Sequence[Address], port: int) -> socket.socket:
    """A TCP connection to the first of `addresses` that answers."""
    failure = SendFailed(FailureCause.CONNECT_FAILED, "the endpoint cannot be reached")
    for address in addresses:
        try:
            async with asyncio.timeout(CONNECT_SECONDS / len(addresses)):
                return await _connect_to(address, port)
        except TimeoutError:
            failure = SendFailed(FailureCause.TIMEOUT, "no connection within the timeout")
        except ConnectionRefusedError:
            failure = SendFailed(FailureCause.REFUSED, "the endpoint refused the connection")
        except OSError as error:
            failure = _unreached(error)
    raise failure


def _unreached(error: OSError) -> SendFailed:
    words = os.strerror(error.errno).lower() if error.errno else "no connection"
    if error.errno in _OUR_LACK:
        return SendFailed(
            FailureCause.INTERNAL, f"this server could not make a connection: {words}"
        )
    return SendFailed(FailureCause.CONNECT_FAILED, f"the endpoint cannot be reached: {words}")


async def _connect_to(address: Address, port: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
        _check_peer(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _check_peer(sock: socket.socket, dialled: Address) -> None:
    """The last word: whoever is at the other end must be whom the policy allowed."""
    peer = egress.unwrap(ipaddress.ip_address(sock.getpeername()[0]))
    if peer != dialled:
        _log.error("event=egress.peer_differs dialled=%s peer=%s", dialled, peer)
        raise SendFailed(FailureCause.TARGET_NOT_ALLOWED, egress.HINT)
