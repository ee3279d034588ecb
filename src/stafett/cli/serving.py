"""Runs the server in this process: binds, starts, says where it is, and ends in good order.

Whoever reads the line with the address, or `server.json`, finds a server that answers; and after a
first signal nothing that was accepted or is under way is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Final

import click
import uvicorn
from typing_extensions import override

from stafett import errors, settings
from stafett.app import Stafett
from stafett.cli import client, listening, logs, notify, printing
from stafett.cli.found import Found
from stafett.model import Secret
from stafett.settings import Network, Settings
from stafett.web import bounds
from stafett.web.protocol import RestingProtocol

_STREAMS_END_SECONDS: Final = 20
"""How long answers that are under way may still take once the end has begun."""
_LOOK_SECONDS: Final = 0.5
_SWITCH_SECONDS: Final = 0.0005
"""The store's writer is a thread: at Python's usual 5 ms the event loop would wait for it."""
_GC_THRESHOLDS: Final = (20_000, 20, 50)


_NO_TOKEN: Final = Secret("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that answers, and the token for this machine's command line."""

    url: str
    data: Path
    token: Secret = _NO_TOKEN
    """Empty where this process only sends."""
    setup_token: Secret | None = None
    """Good for making the first user; None where there is one."""

    @property
    def admin_url(self) -> str:
        """Where people begin."""
        if self.setup_token is None:
            return f"{self.url}/admin/"
        return f"{self.url}/admin/setup?token={self.setup_token.reveal()}"


class Role(enum.Enum):
    """What a process does of the work."""

    BOTH = "both"
    ACCEPTS = "accepts"
    SENDS = "sends"


Story = Callable[[Running], None]
"""What is done beside serving, in a thread of its own; an error in it ends the server."""


class Server(uvicorn.Server):
    """uvicorn without its own way with signals."""

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


# --- the verb ---------------------------------------------------------------------------------


def server_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """`--host`, `--port`, `--data` and `--allow-network`, as `serve` and `demo` take them."""
    for option in (
        click.option(
            "--allow-network",
            "allow_networks",
            multiple=True,
            metavar="CIDR",
            help="A network that webhooks may reach beside the public internet; may be repeated.",
        ),
        click.option("--data", metavar="DIR", help="Folder for the database [stafett-data]."),
        click.option("--port", metavar="PORT", help="Port to listen on, 0 for any [8071]."),
        click.option("--host", metavar="HOST", help="Address to listen on [127.0.0.1]."),
    ):
        verb = option(verb)
    return verb


def load(
    *, host: str | None, port: str | None, data: str | None, allow_networks: tuple[str, ...]
) -> settings.Loaded:
    """The settings, these flags first. Errors: InvalidSettings."""
    flags = {
        "host": host,
        "port": port,
        "data": data,
        "allow_networks": ",".join(allow_networks) or None,
    }
    return settings.load(flags, os.environ, Path.cwd())


@click.command()
@click.option(
    "--no-dispatch",
    is_flag=True,
    help="Accept and show, and leave sending to `stafett dispatch` (with PostgreSQL).",
)
@server_options
def serve(*, no_dispatch: bool, **flags: Any) -> None:
    """Start the server; it goes on until Ctrl-C or SIGTERM.

    What is not given as a flag comes from STAFETT_ variables, .env or stafett.toml: see
    `stafett config`.
    """
    loaded = load(**flags)
    listener = listening.listen(loaded.settings.host, loaded.settings.port)
    role = Role.ACCEPTS if no_dispatch else Role.BOTH
    say = announce_json if loaded.settings.log_format == "json" else announce
    sys.exit(run(loaded.settings, listener, say=say, role=role, sources=loaded.sources))


def announce_json(running: Running) -> None:
    """The same in one line for who collects logs: the link that makes the owner is `setup`."""
    link = "admin" if running.setup_token is None else "setup"
    more = {"url": running.url, "data": str(running.data), link: running.admin_url}
    printing.line(logs.json_line(f"Stafett serves at {running.url}", **more))
    sys.stdout.flush()


def announce(running: Running) -> None:
    """The line that says it is ready."""
    printing.line(
        f"Stafett serves at {running.url}  (data in {running.data}; a token for your"
        " application: stafett token create NAME; Ctrl-C stops it)"
    )
    if running.setup_token is not None:
        printing.line(f"Nobody can sign in yet; make the owner, once: {running.admin_url}")
    else:
        printing.line(f"Admin: {running.admin_url}")
    sys.stdout.flush()


# --- running ----------------------------------------------------------------------------------


def run(
    chosen: Settings,
    listener: socket.socket,
    *,
    say: Callable[[Running], None],
    story: Story | None = None,
    role: Role = Role.BOTH,
    sources: Mapping[str, str] | None = None,
) -> int:
    """Serve until a signal comes or the store breaks; the exit code.

    `sources` tell where each setting came from. Errors: StoreInUse, SchemaTooNew, InvalidSettings,
    Unavailable; whatever `story` raises.
    """
    logs.begin(chosen.log_format)
    bounds.raise_descriptors()
    sys.setswitchinterval(_SWITCH_SECONDS)
    # What is loaded by now stays; looking at it again and again costs 5 % of a busy server.
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    with contextlib.closing(listener), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        serving = _Serving(chosen, listener, say=say, story=story, role=role)
        serving.tell_sources(sources or {})
        try:
            return runner.run(serving.run())
        except errors.StafettError as error:
            if not serving.says_json:
                raise
            printing.line(logs.json_line(error.detail, level="error"), err=True)
            return 2 if isinstance(error, errors.InvalidSettings) else 1


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop, where there is one for this machine."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _ending_signals() -> Generator[int]:
    """Those that end the server; a closed terminal's is one, unless `nohup` had it ignored."""
    yield from (signal.SIGINT, signal.SIGTERM)
    hang_up: int | None = getattr(signal, "SIGHUP", None)  # Windows has none
    if hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN:
        yield hang_up


class _Serving:
    """One run of the server."""

    def __init__(
        self,
        chosen: Settings,
        listener: socket.socket,
        *,
        say: Callable[[Running], None],
        story: Story | None,
        role: Role,
    ) -> None:
        self._stafett = Stafett(
            chosen, accept=role is not Role.SENDS, dispatch=role is not Role.ACCEPTS
        )
        self._role = role
        self._listener = listener
        self._say = say
        self._story = story
        self._found = Found(self._stafett)
        self._manager = notify.manager(os.environ)
        self._server = Server(
            uvicorn.Config(
                self._stafett.asgi(only_probes=role is Role.SENDS),
                http=RestingProtocol,
                ws="none",
                lifespan="off",
                backlog=listening.BACKLOG,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=bool(chosen.trusted_proxies),
                forwarded_allow_ips=[str(each) for each in chosen.trusted_proxies],
                log_config=None,
                timeout_graceful_shutdown=_STREAMS_END_SECONDS,
            )
        )
        self.says_json = chosen.log_format == "json" and story is None
        """A demo talks to a person, however its log is written."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signalled = False

    def tell_sources(self, sources: Mapping[str, str]) -> None:
        """Where each setting came from, as far as it is known."""
        self._stafett.sources = {**self._stafett.sources, **sources}

    async def run(self) -> int:
        self._loop = asyncio.get_running_loop()
        # Before anything else; and they stay, as a second signal may come during the last writes.
        for number in _ending_signals():
            signal.signal(number, self._on_signal)
        async with notify.watched(self._manager), self._stafett:
            await self._serve()
            broken = self._stafett.broken
        if broken is not None:
            raise broken
        return 0

    async def _serve(self) -> None:
        """From the first request taken to the last one answered."""
        url = listening.address_of(self._listener)
        running = Running(url=url, data=self._stafett.settings.data)
        async with self._found_here(running) as running:
            watch = asyncio.create_task(self._watch(running))
            try:
                await self._server.serve(sockets=[self._listener])
            finally:
                self._stafett.begin_stop()
                self._found.forget()
                await watch

    @contextlib.asynccontextmanager
    async def _found_here(self, running: Running) -> AsyncGenerator[Running]:
        """While it lasts, this machine's command line finds the server, and may use it."""
        if self._role is Role.SENDS:
            yield running
            return
        users = self._stafett.users
        setup = None if await users.somebody() else Secret(await users.open_setup())
        async with self._found.at(running.url) as token:
            yield replace(running, token=token, setup_token=setup)

    async def _watch(self, running: Running) -> None:
        """Say when it is ready, let the story run, and end the server when the store breaks."""
        while not self._server.started:
            if self._stafett.stopping.is_set():
                return
            await asyncio.sleep(0)
        with contextlib.suppress(OSError):  # the server is there, whoever reads of it
            self._say(running)
        self._manager.ready(f"Serves at {running.url}")
        told = asyncio.create_task(self._tell(running))
        while not self._stafett.stopping.is_set() and self._stafett.broken is None:
            if told.done() and told.exception() is not None:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._stafett.stopping.wait()
        interrupted = self._stafett.stopping.is_set()
        self._end()
        with contextlib.suppress(*((client.Failure, errors.StafettError) if interrupted else ())):
            await told

    async def _tell(self, running: Running) -> None:
        if self._story is not None:
            await asyncio.to_thread(self._story, running)

    def _end(self) -> None:
        self._manager.stopping()
        self._stafett.begin_stop()
        self._server.should_exit = True

    def _end_in_order(self) -> None:
        self._end()
        text = "Stopping: what is under way ends first; a second signal ends at once"
        try:
            printing.line(logs.json_line(text) if self.says_json else text, err=True)
        except OSError:
            sys.stderr = None  # nobody reads it any more, and Python is not to try at its end

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """The first signal ends in good order, the second at once."""
        if self._signalled or self._loop is None:
            self._found.forget()
            os._exit(130)
        self._signalled = True
        self._loop.call_soon_threadsafe(self._end_in_order)


def with_networks(chosen: Settings, *networks: Network) -> Settings:
    """`chosen`, with more that webhooks may reach."""
    return replace(chosen, allow_networks=(*chosen.allow_networks, *networks))
