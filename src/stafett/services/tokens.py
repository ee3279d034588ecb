"""Tokens: callers' credentials, shown once, kept as hashes, revocable at once.

A token is refused as soon as this process has revoked it, or heard that another did; expiry is
asked of the clock every time.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from stafett import errors, model
from stafett.ids import AppId, Ids, TokenId, base62
from stafett.model import Page, PageQuery, Token
from stafett.services import fields
from stafett.store import Store

PREFIX: Final = "st_"
"""What secret scanners look for."""
BOOTSTRAP: Final = "bootstrap"
"""The name of the owner token that the settings bring; nobody else may take it."""
MIN_BOOTSTRAP_LENGTH: Final = 32
MAX_EXPIRY: Final = timedelta(days=3)
"""How far ahead the tokens of an application can be told to expire together."""

_RANDOM_BYTES: Final = 32
_RANDOM_DIGITS: Final = 43
_SUM_DIGITS: Final = 6
_TEXT_LENGTH: Final = len(PREFIX) + _RANDOM_DIGITS + _SUM_DIGITS
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_USED_STEP: Final = timedelta(minutes=1)
_MAX_KNOWN: Final = 10_000
_PAGE: Final = 200


def new_text(entropy: bytes) -> str:
    """A token text of 32 random bytes: `st_`, 43 digits and a checksum of 6.

    The checksum lets a mistyped or made-up token be refused without asking the store.
    """
    body = PREFIX + base62(int.from_bytes(entropy), _RANDOM_DIGITS)
    return body + base62(zlib.crc32(body.encode()), _SUM_DIGITS)


def hash_of(text: str) -> str:
    """Hex SHA-256: a fast hash is right for 256 random bits."""
    return hashlib.sha256(text.encode()).hexdigest()


def _is_garbled(text: str) -> bool:
    """Whether it has the shape of ours and a checksum that is wrong."""
    if len(text) != _TEXT_LENGTH or not text.startswith(PREFIX):
        return False
    body = text[:-_SUM_DIGITS]
    return text[-_SUM_DIGITS:] != base62(zlib.crc32(body.encode()), _SUM_DIGITS)


class _Known:
    """A token in memory, until when it is good, and from when on its use is noted again."""

    __slots__ = ("expires_at", "note_at", "token")

    def __init__(self, token: Token) -> None:
        self.token = token
        self.expires_at = token.expires_at or _NEVER
        self.note_at = token.created_at
        if token.last_used_at is not None:
            self.note_at = token.last_used_at + _USED_STEP


class Tokens:
    """The verbs."""

    def __init__(
        self, *, store: Store, ids: Ids, clock: model.Clock, entropy: Callable[[int], bytes]
    ) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock
        self._entropy = entropy
        self._known: dict[bytes, _Known] = {}
        self._used: dict[TokenId, datetime] = {}
        self._revocations = 0

    async def create(
        self, name: str, *, app_id: AppId | None = None, expires_at: datetime | None = None
    ) -> tuple[Token, str]:
        """The token and its text, which is never seen again.

        Without `app_id` it is an owner token, good for everything. Errors: Invalid.
        """
        now = self._clock()
        found = fields.Findings()
        found.name(name, "name")
        if name == BOOTSTRAP:
            found.add("is kept for the token that the settings bring", "name")
        if expires_at is not None and expires_at <= now:
            found.add("must be in the future", "expires_at")
        found.close()
        text = new_text(self._entropy(_RANDOM_BYTES))
        token = self._made(name, text, app_id=app_id, expires_at=expires_at)
        await self._store.add_token(token)
        return token, text

    async def list(self, page: PageQuery) -> Page[Token]:
        """In order of id; revoked and expired ones too."""
        return await self._store.list_tokens(page)

    async def revoke(self, token_id: TokenId) -> None:
        """Refused from now on; revoking twice keeps the first time. Errors: NotFound."""
        revoked = await self._store.revoke_token(token_id, now=self._clock())
        self.forget(token_id)
        if not revoked:
            message = f"there is no token {token_id!r}"
            raise errors.NotFound(message)

    async def expire_all(self, app_id: AppId, *, after: timedelta) -> int:
        """No token of this application's is good once `after` is over; how many that cuts short.

        Errors: Invalid (more than three days).
        """
        if not timedelta(0) <= after <= MAX_EXPIRY:
            text = f"must be 0 to {MAX_EXPIRY // timedelta(seconds=1):,} seconds"
            raise errors.Invalid([errors.Problem(("body", "expiry"), text)])
        expired = await self._store.expire_tokens(app_id, at=self._clock() + after)
        for token_id in expired:
            self.forget(token_id)
        return len(expired)

    def forget(self, token_id: TokenId) -> None:
        """This token was revoked or cut short, here or by another process."""
        self._revocations += 1
        self._known = {
            key: known for key, known in self._known.items() if known.token.id != token_id
        }

    async def authenticate(self, text: str) -> Token:
        """Whose token this is. Errors: Unauthenticated, the same for every reason.

        About 1 us for a token that was seen before.
        """
        key = hashlib.sha256(text.encode()).digest()
        known = self._known.get(key)
        if known is None:
            known = await self._found(text, key)
        now = self._clock()
        if now >= known.expires_at:
            raise _refused()
        if now >= known.note_at:
            self._used[known.token.id] = now
            known.note_at = now + _USED_STEP
        return known.token

    async def flush_used(self) -> None:
        """Store when tokens were last used (at most one note a minute for each)."""
        used, self._used = self._used, {}
        if used:
            await self._store.touch_tokens(used)

    async def bootstrap(self, text: str) -> Token:
        """Make sure that `text` is an owner token; any other that came this way is revoked.

        Errors: InvalidSettings (shorter than 32 characters, revoked by hand before, or known as
        a token that may do less).
        """
        if len(text) < MIN_BOOTSTRAP_LENGTH:
            message = f"a bootstrap token needs {MIN_BOOTSTRAP_LENGTH} or more characters"
            raise errors.InvalidSettings(message)
        token = await self._store.find_token(hash_of(text))
        if token is not None and (token.revoked_at or token.app_id or token.expires_at):
            message = "this bootstrap token is revoked or limited already; choose another"
            raise errors.InvalidSettings(message)
        if token is None:
            token = self._made(BOOTSTRAP, text, app_id=None, expires_at=None)
            await self._store.add_token(token)
        await self._revoke_former(token)
        return token

    def _made(
        self, name: str, text: str, *, app_id: AppId | None, expires_at: datetime | None
    ) -> Token:
        now = self._clock()
        return Token(
            id=self._ids.token(now),
            name=name,
            hash=hash_of(text),
            app_id=app_id,
            created_at=now,
            expires_at=expires_at,
            revoked_at=None,
            last_used_at=None,
        )

    async def _found(self, text: str, key: bytes) -> _Known:
        if _is_garbled(text):
            raise _refused()
        revocations = self._revocations
        token = await self._store.find_token(key.hex())
        if token is None or token.revoked_at is not None:
            raise _refused()
        known = _Known(token)
        # A revocation while the store was asked may be of this very token: then ask again.
        if revocations != self._revocations:
            return await self._found(text, key)
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[key] = known
        return known

    async def _revoke_former(self, current: Token) -> None:
        page = PageQuery(limit=_PAGE, ascending=True)
        while True:
            found = await self._store.list_tokens(page)
            for token in found.items:
                former = token.name == BOOTSTRAP and token.revoked_at is None
                if former and token.id != current.id:
                    await self.revoke(token.id)
            if found.done:
                return
            page = PageQuery(limit=_PAGE, ascending=True, after=found.items[-1].id)


def _refused() -> errors.Unauthenticated:
    return errors.Unauthenticated("there is no valid token like that")
