"""Standard Webhooks signatures: `v1` (HMAC-SHA256) and `v1a` (Ed25519). Pure: no clock, no I/O.

The signed text is `{message id}.{unix seconds}.{body}` over the exact bytes sent
(Standard Webhooks specification 1.0; the Svix format is the same under its own header names).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from stafett import errors
from stafett.model import EndpointSecret

SYMMETRIC: Final = "whsec_"
PRIVATE: Final = "whsk_"
PUBLIC: Final = "whpk_"
MIN_BYTES: Final = 24
MAX_BYTES: Final = 75
TOLERANCE: Final = timedelta(minutes=5)
_SEED_BYTES: Final = 32
_STAMP_DIGITS: Final = 12
"""Seconds until the year 33658: a longer number is a mistake and not worth reading."""
_FAMILIES: Final = ("webhook", "svix")

_BLOCK: Final = 64
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))

Signer = Callable[[bytes], str]
"""Signed text -> one signature with its version: `v1,…` or `v1a,…`."""


def check_secret(text: str) -> None:
    """Errors: Invalid at ("body", "key") where `text` is not a usable signing secret.

    `whsec_` and base64 of 24 to 75 bytes (the prefix may be missing), or `whsk_` and base64 of an
    Ed25519 key: its 32-byte seed, or seed and public key.
    """
    try:
        _key(text)
    except ValueError as exc:
        raise errors.Invalid([errors.Problem(("body", "key"), str(exc))]) from None


def new_secret(entropy: bytes) -> str:
    """A symmetric secret over `entropy` (24 or more random bytes)."""
    return SYMMETRIC + base64.b64encode(entropy).decode()


def public_key(secret: str) -> str | None:
    """What a receiver needs to verify `v1a`: `whpk_…`; None for a symmetric secret."""
    key = _key(secret)
    if isinstance(key, bytes):
        return None
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return PUBLIC + base64.b64encode(raw).decode()


def signer(secret: str) -> Signer:
    """A function that signs with `secret`, prepared once. Errors: Invalid, see `check_secret`."""
    check_secret(secret)
    key = _key(secret)
    if isinstance(key, bytes):
        return _symmetric_signer(key)
    return lambda content: f"v1a,{_b64(key.sign(content))}"


def _symmetric_signer(key: bytes) -> Signer:
    """HMAC-SHA256 (RFC 2104) from hashes that have taken in the key already.

    `hmac.digest` hands the interpreter lock away for every signature, which beside busy threads
    costs far more than the hashing; a hash that is fed less than 2 KiB keeps it.
    """
    block = key if len(key) <= _BLOCK else hashlib.sha256(key).digest()
    padded = block.ljust(_BLOCK, b"\0")
    inner = hashlib.sha256(padded.translate(_INNER))
    outer = hashlib.sha256(padded.translate(_OUTER))

    def sign_with_key(content: bytes) -> str:
        first, second = inner.copy(), outer.copy()
        first.update(content)
        second.update(first.digest())
        return f"v1,{_b64(second.digest())}"

    return sign_with_key


def signed_text(message_id: str, timestamp: int, body: bytes) -> bytes:
    """The bytes that a signature covers."""
    return b"%b.%d.%b" % (message_id.encode(errors="surrogatepass"), timestamp, body)


def sign(
    secrets: Sequence[EndpointSecret],
    *,
    message_id: str,
    timestamp: int,
    body: bytes,
    now: datetime,
) -> str:
    """The signature header: one signature for each secret that is current or in its grace."""
    content = signed_text(message_id, timestamp, body)
    return " ".join(
        signer(each.secret.reveal())(content)
        for each in secrets
        if each.expires_at is None or each.expires_at > now
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a signature holds, and if not, which mistake it is."""

    ok: bool
    reason: str


def verify(
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    tolerance: timedelta = TOLERANCE,
) -> Verdict:
    """Check a request as its receiver should; either header family, any of `secrets`.

    Never raises: what is wrong with headers or secrets is the verdict's reason.
    """
    try:
        keys = [_key(secret) for secret in secrets]
    except ValueError as exc:
        return Verdict(ok=False, reason=f"a secret {exc}")
    lower = {name.lower(): value for name, value in headers.items()}
    family = next((f for f in _FAMILIES if f"{f}-signature" in lower), None)
    if family is None:
        return Verdict(ok=False, reason="there is no webhook-signature header")
    for part in ("id", "timestamp"):
        if f"{family}-{part}" not in lower:
            return Verdict(ok=False, reason=f"the {family}-{part} header is missing")
    stamp = lower[f"{family}-timestamp"]
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= _STAMP_DIGITS):
        return Verdict(ok=False, reason="the timestamp is not a whole number of seconds")
    age = now.timestamp() - int(stamp)
    if abs(age) > tolerance.total_seconds():
        side = "old" if age > 0 else "far in the future"
        return Verdict(ok=False, reason=f"the timestamp is too {side}")
    content = signed_text(lower[f"{family}-id"], int(stamp), body)
    candidates = lower[f"{family}-signature"].split()
    if any(_holds(key, candidate, content) for key in keys for candidate in candidates):
        return Verdict(ok=True, reason="the signature holds")
    return Verdict(
        ok=False,
        reason="no signature matches: another secret, or the body was changed on its way",
    )


def _holds(key: bytes | Ed25519PrivateKey, candidate: str, content: bytes) -> bool:
    version, _, text = candidate.partition(",")
    if not text.isascii():
        return False
    if isinstance(key, bytes):
        expected = _b64(hmac.digest(key, content, "sha256"))
        return version == "v1" and hmac.compare_digest(expected, text)
    return version == "v1a" and _verifies(key.public_key(), text, content)


def _verifies(key: Ed25519PublicKey, text: str, content: bytes) -> bool:
    try:
        key.verify(base64.b64decode(text, validate=True), content)
    except (InvalidSignature, binascii.Error):
        return False
    return True


def _b64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode()


def _key(text: str) -> bytes | Ed25519PrivateKey:
    """Errors: ValueError in words."""
    private = text.startswith(PRIVATE)
    encoded = text.removeprefix(PRIVATE if private else SYMMETRIC)
    try:
        raw = base64.b64decode(encoded, validate=True)
    except ValueError:  # also what is not ASCII
        message = f"must be {SYMMETRIC!r} or {PRIVATE!r} and base64"
        raise ValueError(message) from None
    if private:
        return _private_key(raw)
    if not MIN_BYTES <= len(raw) <= MAX_BYTES:
        message = f"must hold {MIN_BYTES} to {MAX_BYTES} bytes, this one holds {len(raw)}"
        raise ValueError(message)
    return raw


def _private_key(raw: bytes) -> Ed25519PrivateKey:
    if len(raw) not in {_SEED_BYTES, 2 * _SEED_BYTES}:
        message = f"must hold an Ed25519 key of 32 or 64 bytes, this one holds {len(raw)}"
        raise ValueError(message)
    key = Ed25519PrivateKey.from_private_bytes(raw[:_SEED_BYTES])
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    if raw[_SEED_BYTES:] not in {b"", public}:
        message = "holds a public key that is not the one of its private key"
        raise ValueError(message)
    return key
