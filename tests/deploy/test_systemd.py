"""The unit: what it says, and, where systemd's own tools are, what they say of it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

from deploy.conftest import DEPLOY
from docs.test_docs import parsed
from stafett import settings
from stafett.cli import notify

UNIT = DEPLOY / "systemd" / "stafett.service"
_ANALYZE = ("systemd-analyze",) if shutil.which("systemd-analyze") else ()
_MAX_EXPOSURE = 1.5
"""systemd's own measure, 0 to 10: below 2 is what it calls OK."""


def directives() -> dict[str, list[str]]:
    """Every directive with its values, in order."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in UNIT.read_text().splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found[name].append(value)
    return found


def seconds(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(s|min)", text).groups()  # pyright: ignore[reportOptionalMemberAccess] - a wrong unit fails here
    return int(number) * {"s": 1, "min": 60}[unit]


def test_it_starts_a_verb_that_there_is() -> None:
    [command] = directives()["ExecStart"]
    program, *words = shlex.split(command)
    assert Path(program).is_absolute()
    parsed(["stafett", *words])


def test_its_variables_are_settings(tmp_path: Path) -> None:
    variables = dict(
        each.split("=", 1) for line in directives()["Environment"] for each in line.split()
    )
    loaded = settings.load({}, variables, tmp_path).settings
    assert str(loaded.data) == f"/var/lib/{directives()['StateDirectory'][0]}"
    assert directives()["WorkingDirectory"] == [str(loaded.data)]


def test_it_waits_for_what_the_program_says() -> None:
    assert directives()["Type"] == ["notify"]
    assert directives()["NotifyAccess"] == ["main"]
    watchdog = seconds(directives()["WatchdogSec"][0])
    told = notify.manager(
        {"NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": str(watchdog * 1_000_000)}
    )
    assert told.watchdog_seconds == watchdog


def test_a_stop_has_more_time_than_an_attempt() -> None:
    usual = settings.Settings().attempt_timeout.total_seconds()
    assert seconds(directives()["TimeoutStopSec"][0]) >= 2 * usual
    assert directives()["KillSignal"] == ["SIGTERM"]


def test_a_wrong_setting_is_not_tried_again_and_again() -> None:
    assert directives()["Restart"] == ["on-failure"]
    assert directives()["RestartPreventExitStatus"] == ["2"]


def test_it_reaches_the_manager_and_the_network_and_nothing_else() -> None:
    families = directives()["RestrictAddressFamilies"][0].split()
    assert families == ["AF_INET", "AF_INET6", "AF_UNIX"]
    assert directives()["CapabilityBoundingSet"] == [""]
    assert directives()["ProtectSystem"] == ["strict"]


def test_no_line_says_what_another_says() -> None:
    several = {name for name, values in directives().items() if len(values) > 1}
    assert several <= {"Environment", "SystemCallFilter"}


def test_systemd_takes_it(tmp_path: Path) -> None:
    """With a program that there is: the real one is installed elsewhere."""
    unit = tmp_path / UNIT.name
    text, changed = re.subn(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text())
    assert changed == 1
    unit.write_text(text)
    for tool in _ANALYZE:
        done = _said((tool, "verify", str(unit)))
        assert done.returncode == 0
        assert UNIT.name not in done.stderr


def test_systemd_finds_little_to_take_from_it() -> None:
    taken = {name for name, values in directives().items() if values == ["yes"]}
    assert {"NoNewPrivileges", "PrivateDevices", "ProtectHome", "RestrictNamespaces"} <= taken
    for tool in _ANALYZE:
        done = _said((tool, "security", "--offline=true", "--no-pager", str(UNIT)))
        found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", done.stdout)
        assert found is not None
        assert float(found[1]) <= _MAX_EXPOSURE


def _said(words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
