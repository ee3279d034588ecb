"""Idempotency keys of everything but messages: the first answer is kept and given again.

Messages have theirs in the transaction that stores them; here a crash between the work and the
keeping of its answer can let a repeated request work twice.

An answer may hold what is shown only once (a token, a read token, a secret). So it is kept sealed,
under a key made of the caller's token and its idempotency key, neither of which the store has.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stafett import errors
from stafett.app import Stafett
from stafett.store import StoredReply
from stafett.web.api_messages import idempotency
from stafett.web.calls import Call, Handler, Reply, Stream


class Promises:
    """Keeps them."""

    def __init__(self, stafett: Stafett) -> None:
        self._stafett = stafett
        self._under_way: set[bytes] = set()

    async def keep(self, call: Call, handler: Handler) -> Reply | Stream:
        """The answer of `handler`, or the one it gave to the same request before.

        Errors: IdempotencyMismatch (same key, another body), InProgress (still being answered).
        """
        promise = idempotency(call)
        if promise is None:
            return await handler(call)
        if promise.key in self._under_way:
            message = "a request with this idempotency key is still being answered; ask again"
            raise errors.InProgress(message)
        self._under_way.add(promise.key)
        try:
            known = await self._stafett.replies.find_reply(promise.key)
            if known is not None:
                return _repeated(known, promise.body_hash, _Seal(call))
            answer = await handler(call)
            if isinstance(answer, Reply) and 200 <= answer.status < 300:
                kept = StoredReply(
                    body_hash=promise.body_hash,
                    status_code=answer.status,
                    body=_Seal(call).close(answer.body()),
                )
                now = self._stafett.now()
                await self._stafett.replies.keep_reply(promise.key, kept, now=now)
            return answer
        finally:
            self._under_way.discard(promise.key)


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


def _repeated(known: StoredReply, body_hash: bytes, seal: _Seal) -> Reply:
    if known.body_hash != body_hash:
        message = "this idempotency key was used before, for another request body"
        raise errors.IdempotencyMismatch(message)
    body = seal.open(known.body)
    return Reply(known.status_code, body, [(b"content-type", b"application/json")])
