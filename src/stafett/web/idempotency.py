"""Idempotency keys of everything but messages: the first answer is kept and given again.

The row of a key is the lock, for all processes: it is put down before the work, and holds the
answer afterwards. Its holder renews it while the work goes on, so that one left by a process that
died is free within seconds; only then can a repeated request work twice. Messages have their keys
in the transaction that stores them.

An answer may hold what is shown only once (a token, a read token, a secret). So it is kept sealed,
under a key made of the caller's token and its idempotency key, neither of which the store has.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stafett import errors
from stafett.app import Stafett
from stafett.store import Idempotency, KnownKey, StoredReply
from stafett.web.api_messages import idempotency
from stafett.web.calls import Call, Handler, Reply, Stream

_log = logging.getLogger("stafett.web")

HOLD: Final = timedelta(seconds=15)
"""So long after its process has died a key is free; longer than the database may keep us waiting
for a renewal."""
_RENEW_EVERY: Final = 5.0


class Promises:
    """Keeps them."""

    def __init__(self, stafett: Stafett) -> None:
        self._stafett = stafett

    async def keep(self, call: Call, handler: Handler) -> Reply | Stream:
        """The answer of `handler`, or the one it gave to the same request before.

        Errors: IdempotencyMismatch (same key, another body), InProgress (still being answered).
        """
        promise = idempotency(call)
        if promise is None:
            return await handler(call)
        now = self._stafett.now()
        hold = _Hold(self._stafett, promise, until=now + HOLD)
        known = await self._stafett.replies.hold_key(promise, until=hold.until, now=now)
        if known is not None:
            return _repeated(known, promise, _Seal(call))
        async with hold.renewed():
            answer = await handler(call)
        if isinstance(answer, Reply) and 200 <= answer.status < 300:
            await hold.keep(answer.status, _Seal(call).close(answer.body()))
        else:
            await hold.free()
        return answer


class _Hold:
    """A key that is ours while its request is being answered."""

    def __init__(self, stafett: Stafett, promise: Idempotency, *, until: datetime) -> None:
        self._stafett = stafett
        self._replies = stafett.replies
        self._key = promise.key
        self.until = until
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def renewed(self) -> AsyncGenerator[None]:
        """It stays ours meanwhile; after an error it is free."""
        renewing = asyncio.create_task(self._renew())
        try:
            yield
        except BaseException:
            await self._end(renewing)
            await self.free()
            raise
        await self._end(renewing)

    async def keep(self, status_code: int, body: bytes) -> None:
        """Whoever repeats the request gets this.

        The work is done, so its answer is given even where it cannot be kept.
        """
        reply = StoredReply(status_code=status_code, body=body)
        now = self._stafett.now()
        try:
            kept = await self._replies.keep_reply(self._key, reply, held_until=self.until, now=now)
        except errors.StafettError as error:
            _log.warning("event=reply.not_kept detail=%s", error.detail)
            return
        if not kept:
            _log.warning("event=reply.not_kept detail=the key was not held in time")

    async def free(self) -> None:
        """The request may be tried anew; where that cannot be written, once the hold is over."""
        with suppress(errors.StafettError):
            await self._replies.free_key(self._key, held_until=self.until)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_EVERY)
            until = self._stafett.now() + HOLD
            async with self._turn:
                with suppress(errors.StafettError):
                    if not await self._replies.hold_longer(
                        self._key, held_until=self.until, until=until
                    ):
                        return
                    self.until = until

    async def _end(self, renewing: asyncio.Task[None]) -> None:
        """Not in the middle of a renewal: then nobody would know until when it is held."""
        async with self._turn:
            renewing.cancel()


class _Seal:
    """Makes an answer unreadable to anybody but the caller that repeats its request."""

    _NONCE_BYTES: Final = 12

    def __init__(self, call: Call) -> None:
        text = f"{call.header(b'idempotency-key')}\n{call.bearer}"
        self._key = hashlib.sha256(b"kept reply\n" + text.encode()).digest()

    def close(self, body: bytes) -> bytes:
        """The nonce is made of the body: the same one twice tells no more than that it is."""
        nonce = hmac.digest(self._key, body, "sha256")[: self._NONCE_BYTES]
        return nonce + AESGCM(self._key).encrypt(nonce, body, None)

    def open(self, sealed: bytes) -> bytes:
        """The answer as it was."""
        nonce, rest = sealed[: self._NONCE_BYTES], sealed[self._NONCE_BYTES :]
        return AESGCM(self._key).decrypt(nonce, rest, None)


def _repeated(known: KnownKey, promise: Idempotency, seal: _Seal) -> Reply:
    if known.body_hash != promise.body_hash:
        message = "this idempotency key was used before, for another request body"
        raise errors.IdempotencyMismatch(message)
    if known.reply is None:
        message = "a request with this idempotency key is still being answered; ask again"
        raise errors.InProgress(message)
    body = seal.open(known.reply.body)
    return Reply(known.reply.status_code, body, [(b"content-type", b"application/json")])
