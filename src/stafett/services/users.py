"""People: the first owner, signing in, sessions, passwords, roles.

Passwords are kept as Argon2id, sessions as hashes. A wrong address costs as much work as a wrong
password, and both give the same answer; tries are slowed by account and by where they come from,
and by neither so that strangers could keep somebody out who is signed in elsewhere already.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from typing import Final

import argon2

from stafett import errors, model
from stafett.ids import Ids
from stafett.model import Role, Secret, Session, User, UserChanges
from stafett.services import fields
from stafett.store import Store

MIN_PASSWORD: Final = 12
MAX_PASSWORD: Final = 1_024
_SHORTEST_NAME: Final = 4
IDLE: Final = timedelta(hours=12)
"""A session that is not seen for so long is over."""
LIFE: Final = timedelta(days=7)
"""And however busy, it is over then."""
_SEEN_STEP: Final = timedelta(minutes=1)
_SECRET_BYTES: Final = 32
_HASHES_AT_ONCE: Final = 2
"""Each takes 19 MiB and some 20 ms of a processor."""
_EMAIL: Final = re.compile(r"[^@\s\x00-\x1f\x7f-\x9f]{1,64}@[^@\s\x00-\x1f\x7f-\x9f]{1,255}")
_RANKS: Final = {role: rank for rank, role in enumerate(Role)}


def may(user: User, role: Role) -> bool:
    """Whether `user` may do what needs `role`."""
    return user.disabled_at is None and _RANKS[user.role] <= _RANKS[role]


class Tries:
    """How often something may be tried: a handful at once, then one in each `every`."""

    def __init__(self, *, burst: int, every: timedelta, max_known: int = 10_000) -> None:
        self._burst = burst
        self._every = every
        self._max_known = max_known
        self._free_at: dict[str, datetime] = {}

    def take(self, key: str, *, now: datetime) -> None:
        """Count one try. Errors: TooMany, with the seconds to wait."""
        earliest = now - self._every * (self._burst - 1)
        free_at = max(self._free_at.get(key, earliest), earliest)
        if free_at > now:
            wait = (free_at - now).total_seconds()
            message = f"too many tries; try again in {wait:.0f} s"
            raise errors.TooMany(message, retry_after=wait)
        if len(self._free_at) >= self._max_known:
            self._free_at = {each: at for each, at in self._free_at.items() if at > now}
        self._free_at[key] = free_at + self._every

    def forget(self, key: str) -> None:
        """It succeeded: the next try is a first one."""
        self._free_at.pop(key, None)


class Users:
    """The verbs."""

    def __init__(
        self, *, store: Store, ids: Ids, clock: model.Clock, entropy: Callable[[int], bytes]
    ) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock
        self._entropy = entropy
        self._hashing = asyncio.Semaphore(_HASHES_AT_ONCE)
        self._by_account = Tries(burst=5, every=timedelta(seconds=15))
        """From one place."""
        self._by_account_at_all = Tries(burst=60, every=timedelta(seconds=3))
        self._by_address = Tries(burst=20, every=timedelta(seconds=5))
        self._somebody = False
        self._dummy: str | None = None

    # --- people -------------------------------------------------------------------------------

    async def somebody(self) -> bool:
        """Whether there is any user yet."""
        self._somebody = self._somebody or bool(await self._store.list_users())
        return self._somebody

    async def open_setup(self) -> str:
        """A token for a link under which the first user can be made; all end with that."""
        token = self._entropy(_SECRET_BYTES).hex()
        await self._store.add_setup_link(_hash(token), now=self._clock())
        return token

    async def is_setup_token(self, text: str) -> bool:
        """Whether `text` is the token of such a link, whichever process made it."""
        return await self._store.has_setup_link(_hash(text))

    async def set_up(self, *, email: str, name: str, password: str) -> User:
        """Make the first user, an owner. Errors: Invalid, Conflict (there is somebody already)."""
        user = await self._made(email=email, name=name, password=password, role=Role.OWNER)
        if not await self._store.add_first_user(user):
            message = "this Stafett has been set up already; sign in"
            raise errors.Conflict(message)
        return user

    async def create(self, *, email: str, name: str, password: str, role: Role) -> User:
        """One more user. Errors: Invalid, Conflict (address taken)."""
        user = await self._made(email=email, name=name, password=password, role=role)
        await self._store.add_user(user)
        return user

    async def get(self, ref: str) -> User:
        """By id or e-mail address. Errors: NotFound."""
        found = await self._store.find_user(ref.strip().lower() if "@" in ref else ref)
        if found is None:
            message = f"there is no user {ref!r}"
            raise errors.NotFound(message)
        return found

    async def list(self) -> list[User]:
        """All of them, the disabled ones too."""
        return await self._store.list_users()

    async def change(
        self,
        ref: str,
        *,
        name: str | None = None,
        role: Role | None = None,
        disabled: bool | None = None,
    ) -> User:
        """Change what is given; who is disabled is signed out.

        Errors: NotFound, Invalid, Conflict (it would leave nobody as owner).
        """
        user = await self.get(ref)
        changes = UserChanges()
        if name is not None:
            found = fields.Findings()
            found.name(name, "name")
            found.close()
            changes["name"] = name.strip()
        if role is not None:
            changes["role"] = role
        if disabled is not None:
            changes["disabled_at"] = self._clock() if disabled else None
        ends = role not in {None, Role.OWNER} or bool(disabled)
        await self._store.update_user(user.id, changes, now=self._clock(), keep_owner=ends)
        if disabled:
            await self._store.delete_sessions(user.id)
        return await self.get(user.id)

    async def set_password(self, ref: str, password: str) -> User:
        """By somebody who may; every session of the user ends. Errors: NotFound, Invalid."""
        user = await self.get(ref)
        _check_password(password, email=user.email)
        await self._store_password(user, password)
        await self._store.delete_sessions(user.id)
        return user

    async def delete(self, ref: str) -> User:
        """Gone, with all sessions. Errors: NotFound, Conflict (the last owner)."""
        user = await self.get(ref)
        await self._store.delete_user(user.id, keep_owner=True)
        return user

    # --- signing in ---------------------------------------------------------------------------

    async def sign_in(
        self, *, email: str, password: str, address: str, user_agent: str
    ) -> tuple[User, str]:
        """The user, and the text of a new session.

        Errors: Unauthenticated (the same whatever was wrong), TooMany.
        """
        now = self._clock()
        account = email.strip().lower()
        if not _EMAIL.fullmatch(account):
            account = ""  # nobody's, and of any length: it is not to be kept
        place = _place(address)
        self._by_address.take(place, now=now)
        self._by_account.take(f"{account} {place}", now=now)
        user = await self._store.find_user(account) if account else None
        if user is None or not await self._is_in_from(user, place, now=now):
            self._by_account_at_all.take(account, now=now)
        known = await self._dummy_hash() if user is None else user.password_hash.reveal()
        right = await self._verified(known, password[:MAX_PASSWORD])
        if user is None or not right or user.disabled_at is not None:
            message = "the address or the password is wrong"
            raise errors.Unauthenticated(message)
        self._by_account.forget(f"{account} {place}")
        return user, await self._new_session(user, address=address, user_agent=user_agent)

    async def session(self, text: str) -> tuple[Session, User] | None:
        """Whose session this is; None when there is none, or it is over."""
        found = await self._store.find_session(_hash(text))
        if found is None:
            return None
        session, user = found
        now = self._clock()
        over = now >= session.expires_at or now - session.last_seen_at >= IDLE
        if over or user.disabled_at is not None:
            return None
        if now - session.last_seen_at >= _SEEN_STEP:
            await self._store.touch_session(session.hash, now=now)
        return session, user

    async def sign_out(self, session: Session) -> None:
        """End this session."""
        await self._store.delete_sessions(session.user_id, only=session.hash)

    async def sessions(self, user: User) -> list[Session]:
        """Those of `user` that are not over, newest first."""
        now = self._clock()
        await self._store.expire_sessions(now=now, idle_since=now - IDLE)
        return await self._store.list_sessions(user.id)

    async def end_session(self, user: User, session_hash: str) -> None:
        """End one of the user's own. Errors: NotFound."""
        if not await self._store.delete_sessions(user.id, only=session_hash):
            message = "there is no such session"
            raise errors.NotFound(message)

    async def change_password(self, session: Session, user: User, *, old: str, new: str) -> None:
        """By the user; every other session ends. Errors: Invalid, TooMany."""
        self._by_account.take(user.email, now=self._clock())
        found = fields.Findings()
        if not await self._verified(user.password_hash.reveal(), old[:MAX_PASSWORD]):
            found.add("is not the present password", "old_password")
        found.close()
        self._by_account.forget(user.email)
        _check_password(new, email=user.email)
        await self._store_password(user, new)
        await self._store.delete_sessions(user.id, but=session.hash)

    # --- inside -------------------------------------------------------------------------------

    async def _is_in_from(self, user: User, place: str, *, now: datetime) -> bool:
        """Whether there is a session from that place."""
        sessions = await self._store.list_sessions(user.id)
        return any(_place(each.address) == place and now < each.expires_at for each in sessions)

    async def _made(self, *, email: str, name: str, password: str, role: Role) -> User:
        address = email.strip().lower()
        found = fields.Findings()
        if not _EMAIL.fullmatch(address):
            found.add("must be an e-mail address", "email")
        found.name(name, "name")
        found.problems += _password_problems(password, email=address)
        found.close()
        now = self._clock()
        return User(
            id=self._ids.user(now),
            email=address,
            name=name.strip(),
            role=role,
            password_hash=Secret(await self._hashed(password)),
            created_at=now,
            updated_at=now,
            disabled_at=None,
        )

    async def _store_password(self, user: User, password: str) -> None:
        changes = UserChanges(password_hash=Secret(await self._hashed(password)))
        await self._store.update_user(user.id, changes, now=self._clock())

    async def _new_session(self, user: User, *, address: str, user_agent: str) -> str:
        text = self._entropy(_SECRET_BYTES).hex()
        now = self._clock()
        session = Session(
            hash=_hash(text),
            user_id=user.id,
            created_at=now,
            last_seen_at=now,
            expires_at=now + LIFE,
            address=address,
            user_agent=user_agent[: fields.MAX_NAME],
        )
        await self._store.add_session(session)
        return text

    async def _hashed(self, password: str) -> str:
        async with self._hashing:
            return await asyncio.to_thread(_hasher().hash, password)

    async def _verified(self, known: str, password: str) -> bool:
        async with self._hashing:
            return await asyncio.to_thread(_matches, known, password)

    async def _dummy_hash(self) -> str:
        if self._dummy is None:
            self._dummy = await self._hashed(self._entropy(_SECRET_BYTES).hex())
        return self._dummy


def _place(address: str) -> str:
    """Whom an address stands for: of IPv6, a whole /64 is at everybody's hands."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), 64), strict=False))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _check_password(password: str, *, email: str) -> None:
    problems = _password_problems(password, email=email)
    if problems:
        raise errors.Invalid(problems)


def _password_problems(password: str, *, email: str) -> list[errors.Problem]:
    message = ""
    if len(password) < MIN_PASSWORD:
        message = f"must have {MIN_PASSWORD} or more characters"
    elif len(password) > MAX_PASSWORD:
        message = f"may have at most {MAX_PASSWORD:,} characters"
    elif len(set(password)) < 5 or _names_its_owner(password, email):
        message = "is too easy to guess"
    return [errors.Problem(("body", "password"), message)] if message else []


@cache
def _hasher() -> argon2.PasswordHasher:
    """Argon2id with 19 MiB and two passes (OWASP's first recommendation)."""
    return argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def _matches(known: str, password: str) -> bool:
    try:
        return _hasher().verify(known, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def _names_its_owner(password: str, email: str) -> bool:
    """A name of few letters is in nearly every good password too."""
    name = email.partition("@")[0]
    return len(name) >= _SHORTEST_NAME and name in password.lower()
