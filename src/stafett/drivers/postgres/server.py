"""The way to the server: where it is, connections to it, and what its errors mean to us."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from stafett import errors

Connection = asyncpg.Connection

T = TypeVar("T")

_HOT_CONNECTIONS: Final = 6
_COLD_CONNECTIONS: Final = 6
_CONNECT_SECONDS: Final = 10.0
_COMMAND_SECONDS: Final = 60.0
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 5.0
_MAX_OFFSET: Final = 1.0
_TRIES: Final = 5
# Plans made for other numbers of rows are slow ones, and nothing here is worth compiling. A node
# that stands still in the middle of its work lets go of what the others need after the last.
_SETTINGS: Final = {
    "application_name": "stafett",
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
    "idle_in_transaction_session_timeout": "10s",
}
# Behind a pooler a statement lives no longer than its transaction, so it gets no name.
_UNNAMED: Final = {"prepared_statement_cache_size": 0, "prepared_statement_name_func": lambda: ""}
_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # What asyncpg says when the server's last words came where it expected none.
    asyncpg.InternalClientError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
_REFUSED: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)
_AGAIN: Final = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.UniqueViolationError,
)


class Server:
    """Connections to one database; several of each kind, made when they are first wanted."""

    def __init__(self, url: str) -> None:
        """`url` as PostgreSQL's own tools take it, and `?pgbouncer=true` where one is between."""
        self._url, self.pooled = _without_pooler(url)
        self.engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            connect_args={"async_creator_fn": self.connect} | (_UNNAMED if self.pooled else {}),
            pool_size=_COLD_CONNECTIONS,
            max_overflow=0,
            pool_pre_ping=True,
        )
        self._pool: asyncpg.Pool | None = None
        self._pause = _Pause()

    async def connect(self, *_: Any, **__: Any) -> Connection:
        """A connection of its own; pools come here, too, and what they give is known.

        Errors: Unavailable, and those of asyncpg (see `translated_errors`).
        """
        try:
            return await asyncpg.connect(self._url, **self._options())
        except asyncpg.ClientConfigurationError:
            raise
        except _AWAY as error:
            raise errors.Unavailable(self._not_reached(error)) from error
        except asyncpg.UndefinedObjectError as error:  # only what the URL sets can be that here
            message = f"STAFETT_DATABASE_URL cannot be used: {error}"
            raise errors.Unavailable(message) from error

    async def open(self) -> None:
        """See that the server is there and fit to keep what it is given. Errors: Unavailable."""
        with translated_errors():
            # Nothing is connected before it is wanted: a pool made while the server is away waits.
            self._pool = await asyncpg.create_pool(
                connect=self.connect,
                min_size=0,
                max_size=_HOT_CONNECTIONS,
                reset=_reset_if_needed,
            )
        try:
            await self.check()
        except BaseException:
            await self.close()
            raise

    async def version(self) -> str:
        """Of the server's software, as it says it."""
        async with self.hot() as connection:
            return str(await connection.fetchval("SHOW server_version"))

    async def close(self) -> None:
        """Let all connections go."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            try:
                await asyncio.wait_for(pool.close(), _CONNECT_SECONDS)
            except _AWAY:
                pool.terminate()
        await self.engine.dispose()

    @asynccontextmanager
    async def hot(self) -> AsyncGenerator[Connection]:
        """A connection for one unit of work. Errors: Unavailable, also while it pauses after one.

        After a failure to connect it does not try again at once, and not when everybody does.
        """
        if self._pool is None:
            message = "the store is closed"
            raise errors.Unavailable(message)
        self._pause.refuse()
        with translated_errors():
            try:
                connection = await self._pool.acquire(timeout=_CONNECT_SECONDS)
            except (*_AWAY, errors.Unavailable):
                self._pause.failed()
                raise
            self._pause.over()
            try:
                yield connection  # type: ignore[misc]  # a proxy with the same methods
            finally:
                await self._pool.release(connection)

    async def check(self) -> None:
        """Errors: Unavailable, where what is committed could be lost, or its time is not ours."""
        async with self.hot() as connection:
            await _check(connection)

    def _not_reached(self, error: BaseException) -> str:
        what = str(error) or type(error).__name__
        host = urlsplit(self._url).netloc.rpartition("@")[2]
        where = f" at {host}" if host else ""
        # PgBouncer's way to say that it does not pass a setting on.
        is_pooler = isinstance(error, asyncpg.ProtocolViolationError) and not self.pooled
        cure = "; is it a PgBouncer? then add ?pgbouncer=true to the URL" if is_pooler else ""
        return f"the database{where} did not answer: {what}{cure}"

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "timeout": _CONNECT_SECONDS,
            "command_timeout": _COMMAND_SECONDS,
        }
        if self.pooled:
            # Each transaction may be on another connection of the pooler: nothing is kept on one.
            return options | {"statement_cache_size": 0}
        return options | {"server_settings": dict(_SETTINGS)}


async def _reset_if_needed(connection: Connection) -> None:
    """Work here sets nothing on its connection, and to reset it each time is a trip each time."""
    if connection.is_in_transaction():
        await connection.reset()


class _Pause:
    """How long not to try again after a failure: longer each time, and at random."""

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0.0

    def refuse(self) -> None:
        """Errors: Unavailable, while it lasts."""
        left = self._until - time.monotonic()
        if left > 0:
            message = "the database was not to be reached a moment ago"
            raise errors.Unavailable(message, retry_after=max(left, 0.1))

    def failed(self) -> None:
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        self._until = time.monotonic() + longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter

    def over(self) -> None:
        self._failures = 0


def _without_pooler(url: str) -> tuple[str, bool]:
    """The URL without our own word in its query, and whether that was there."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    pooled = any(name == "pgbouncer" and value != "false" for name, value in pairs)
    query = urlencode([pair for pair in pairs if pair[0] != "pgbouncer"])
    return urlunsplit(parts._replace(query=query)), pooled


_STANDING: Final = (
    "SELECT current_setting('synchronous_commit'), pg_is_in_recovery(),"
    " extract(epoch FROM clock_timestamp())"
)


async def _check(connection: Connection) -> None:
    version = connection.get_server_version().major
    if version < 15:
        message = f"the server is PostgreSQL {version}; Stafett needs 15 or later"
        raise errors.Unavailable(message)
    before = time.time()  # noqa: TID251 - it is this machine's clock that is looked at
    [(synchronous, standby, theirs)] = await connection.fetch(_STANDING)
    after = time.time()  # noqa: TID251 - the same
    if synchronous == "off":
        message = (
            "synchronous_commit is off for this user or database, so what is accepted could be"
            " lost; turn it on, or at least to local"
        )
        raise errors.Unavailable(message)
    if standby:
        message = "the server is a standby, which cannot be written to; name the primary"
        raise errors.Unavailable(message)
    _check_clock(before, after, theirs=float(theirs))


def _check_clock(before: float, after: float, *, theirs: float) -> None:
    """Half the way there and back is the most that the comparison can be wrong."""
    offset = (before + after) / 2 - theirs
    if abs(offset) - (after - before) / 2 > _MAX_OFFSET:
        message = (
            f"this machine's clock is {offset:+.1f} s from the database's; leases need them within"
            f" {_MAX_OFFSET:.0f} s of each other: set the clock (is NTP running?)"
        )
        raise errors.Unavailable(message)


def columns_of(rows: Sequence[Sequence[Any]], *, count: int = 0) -> list[list[Any]]:
    """`rows` as the arrays that `unnest` takes; `count` of them, where there may be no row."""
    if not rows:
        return [[] for _ in range(count)]
    return [list(column) for column in zip(*rows, strict=True)]


def translate(error: BaseException) -> errors.StafettError | None:
    """What an error of asyncpg means to us; None: it is a mistake of ours."""
    if isinstance(error, asyncpg.DiskFullError):
        message = "the database's disk is full: nothing was accepted; free some space and try again"
        return errors.StoreFull(message, retry_after=5.0)
    if isinstance(error, asyncpg.CharacterNotInRepertoireError):
        return errors.BadRequest("a text in it has the character NUL, which no text here may have")
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return errors.Unavailable("the database cannot be written to: it is a standby")
    if isinstance(error, _REFUSED):
        return errors.Unavailable(f"the database refuses us: {error} (STAFETT_DATABASE_URL)")
    if isinstance(error, asyncpg.ClientConfigurationError):
        return errors.Unavailable(f"STAFETT_DATABASE_URL cannot be used: {error}")
    if isinstance(error, (*_AWAY, *_AGAIN)):
        return errors.Unavailable(
            f"the database did not answer: {str(error) or type(error).__name__}"
        )
    return None


def cause_of(error: DBAPIError) -> BaseException | None:
    """The error of asyncpg that SQLAlchemy wrapped, twice."""
    return None if error.orig is None else error.orig.__cause__


async def persist(work: Callable[[], Awaitable[T]]) -> T:
    """The work again from its beginning, where another transaction was in its way."""
    for _ in range(_TRIES - 1):
        try:
            return await work()
        except (DBAPIError, asyncpg.PostgresError) as error:
            cause = cause_of(error) if isinstance(error, DBAPIError) else error
            if not isinstance(cause, _AGAIN):
                raise
    return await work()


@contextmanager
def translated_errors() -> Generator[None]:
    """Turns asyncpg's errors, also those wrapped by SQLAlchemy, into ours."""
    try:
        yield
    except DBAPIError as error:
        ours = None if (cause := cause_of(error)) is None else translate(cause)
        if ours is None:
            raise
        raise ours from error
    except asyncio.CancelledError:
        raise
    except (*_AWAY, asyncpg.PostgresError) as error:
        ours = translate(error)
        if ours is None:
            raise
        raise ours from error
