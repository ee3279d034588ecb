"""Prefixed ids that sort by the time they were made: a prefix and 27 base62 digits.

An id is a number: 5 bytes of time (seconds since 2014-05-13T16:53:20Z and 4 ms steps) above 120
bits, of which 112 are random. So order of ids is order of time, and a time range is an id range.
Compatible with the ids that the Svix format prescribes: prefix and exactly 27 characters.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NewType

from stafett import errors

AppId = NewType("AppId", str)
EndpointId = NewType("EndpointId", str)
MessageId = NewType("MessageId", str)
DeliveryId = NewType("DeliveryId", str)
AttemptId = NewType("AttemptId", str)
TokenId = NewType("TokenId", str)
BinId = NewType("BinId", str)
CaptureId = NewType("CaptureId", str)
ClaimId = NewType("ClaimId", str)
TaskId = NewType("TaskId", str)
UserId = NewType("UserId", str)
AuditId = NewType("AuditId", str)

APP, ENDPOINT, MESSAGE, DELIVERY, ATTEMPT = "app_", "ep_", "msg_", "dlv_", "atmpt_"
TOKEN, BIN, CAPTURE, CLAIM, TASK = "tok_", "bin_", "cap_", "clm_", "qtask_"
USER, AUDIT = "usr_", "aud_"

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUES = {digit: value for value, digit in enumerate(ALPHABET)}
_EPOCH = datetime(2014, 5, 13, 16, 53, 20, tzinfo=UTC)
_STEP = timedelta(milliseconds=4)
_DIGITS = 27
_LOW_BITS = 120
_RANDOM_DIGITS = 19
_BLOCK = 62**_RANDOM_DIGITS
_PAGE = 4_096
# Random byte -> digit. Eight digits come up five times in 256 and the rest four: 5.95 bits each.
_DIGIT_OF = bytes(ord(ALPHABET[byte % 62]) for byte in range(256))


def base62(number: int, digits: int) -> str:
    """The last `digits` digits of a number in base 62: 0-9, A-Z, a-z."""
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, 62)
        text = ALPHABET[digit] + text
    return text


def _steps(at: datetime) -> int:
    """Whole steps of 4 ms since the epoch: ids of one step differ by chance alone."""
    return (at - _EPOCH) // _STEP


def _time_part(steps: int) -> int:
    seconds, part = divmod(steps, 250)
    return seconds << 8 | part


def _head(steps: int) -> str:
    """The first 8 digits of ids made in this step.

    The time part leaves 2 ** 120 numbers, which hold 116 whole blocks of 19 free digits. All ids of
    one step take the block in their middle, so that the rest of an id is digits at random: 0.5 us
    where arithmetic on the whole number takes 3.
    """
    middle = (_time_part(steps) << _LOW_BITS) + (1 << _LOW_BITS - 1)
    return base62(middle // _BLOCK, _DIGITS - _RANDOM_DIGITS)


def make(prefix: str, at: datetime, entropy: bytes) -> str:
    """An id of time `at` from 19 bytes of `entropy`: the same inputs give the same id."""
    return prefix + _head(_steps(at)) + entropy.translate(_DIGIT_OF).decode()


def length(prefix: str) -> int:
    """How many characters an id has; the last of them are chance, each any of `ALPHABET`."""
    return len(prefix) + _DIGITS


def first_at(prefix: str, at: datetime) -> str:
    """The smallest id that something made at `at` can have: turns time filters into id ranges."""
    clamped = max(at, _EPOCH)
    return prefix + base62(_time_part(_steps(clamped)) << _LOW_BITS, _DIGITS)


def made_at(any_id: str) -> datetime:
    """When an id was made, to 4 ms. Raises BadRequest for what is not an id of ours."""
    digits = any_id.rpartition("_")[2]
    if len(digits) != _DIGITS or any(digit not in _VALUES for digit in digits):
        message = f"{any_id!r} is not an id"
        raise errors.BadRequest(message)
    number = 0
    for digit in digits:
        number = number * 62 + _VALUES[digit]
    time_part = number >> _LOW_BITS
    return _EPOCH + ((time_part >> 8) * 250 + (time_part & 0xFF)) * _STEP


def is_id(prefix: str, text: str) -> bool:
    """Whether `text` has the shape of an id with this prefix; anything else there is a uid."""
    return text.startswith(prefix) and len(text) == len(prefix) + _DIGITS


class Pool:
    """Random bytes of the system, fetched by the page.

    A system call for every id costs more than the id, and hands the interpreter lock away. A forked
    child starts with an empty pool, so that two processes never share one.
    """

    __slots__ = ("__weakref__", "_at", "_page")

    def __init__(self) -> None:
        self.forget()
        _pools.add(self)

    def take(self, size: int) -> bytes:
        """`size` random bytes, at most a page; no byte is given twice."""
        end = self._at + size
        if end > len(self._page):
            self._page, end = os.urandom(_PAGE), size
        self._at = end
        return self._page[end - size : end]

    def forget(self) -> None:
        """Begin with a new page."""
        self._page, self._at = b"", 0


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _forget_all() -> None:
    for pool in _pools:
        pool.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


class Ids:
    """Makes new ids; chance comes in as `entropy` (bytes wanted -> bytes)."""

    __slots__ = ("_at", "_entropy", "_head", "_step")

    def __init__(self, entropy: Callable[[int], bytes] | None = None) -> None:
        self._entropy = entropy or Pool().take
        self._at: datetime | None = None
        self._step = -1
        self._head = ""

    def new(self, prefix: str, now: datetime) -> str:
        """A fresh id with `prefix`."""
        if now is not self._at:  # what is made for one event is made at one time
            self._at = now
            step = _steps(now)
            if step != self._step:
                self._step, self._head = step, _head(step)
        return prefix + self._head + self._entropy(_RANDOM_DIGITS).translate(_DIGIT_OF).decode()

    def app(self, now: datetime) -> AppId:
        return AppId(self.new(APP, now))

    def endpoint(self, now: datetime) -> EndpointId:
        return EndpointId(self.new(ENDPOINT, now))

    def message(self, now: datetime) -> MessageId:
        return MessageId(self.new(MESSAGE, now))

    def delivery(self, now: datetime) -> DeliveryId:
        return DeliveryId(self.new(DELIVERY, now))

    def attempt(self, now: datetime) -> AttemptId:
        return AttemptId(self.new(ATTEMPT, now))

    def token(self, now: datetime) -> TokenId:
        return TokenId(self.new(TOKEN, now))

    def bin(self, now: datetime) -> BinId:
        return BinId(self.new(BIN, now))

    def capture(self, now: datetime) -> CaptureId:
        return CaptureId(self.new(CAPTURE, now))

    def claim(self, now: datetime) -> ClaimId:
        return ClaimId(self.new(CLAIM, now))

    def task(self, now: datetime) -> TaskId:
        return TaskId(self.new(TASK, now))

    def user(self, now: datetime) -> UserId:
        return UserId(self.new(USER, now))

    def audit(self, now: datetime) -> AuditId:
        return AuditId(self.new(AUDIT, now))
