"""The front of the command: its help, and what may reach a terminal."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest

from stafett import cli
from stafett.cli import doctor, logs, printing

SUB_VERBS = {
    "webhook": {"add", "list", "show", "test", "disable", "enable", "delete"},
    "event-type": {"list", "show", "add", "import", "archive"},
    "bin": {"create", "tail", "list", "show", "reply", "pin", "unpin", "clear", "delete"},
    "message": {"list", "show"},
    "attempt": {"list"},
    "token": {"create", "list", "revoke"},
}


def _command(name: str) -> click.Command:
    command = cli.main.get_command(click.Context(cli.main), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_line_in_the_help_is_the_verbs_own(name: str):
    help_text = " ".join((_command(name).help or "").split())

    assert help_text.startswith(cli.COMMANDS[name][1].rstrip("."))


@pytest.mark.parametrize(("name", "verbs"), SUB_VERBS.items())
def test_the_verbs_that_others_rely_on_are_there(name: str, verbs: set[str]):
    group = _command(name)
    assert isinstance(group, click.Group)

    assert set(group.commands) == verbs


def test_every_verb_that_talks_to_the_server_has_json():
    missing = [
        f"{name} {verb.name}"
        for name in cli.COMMANDS
        if name not in {"serve", "dispatch", "demo"}
        for verb in _verbs(_command(name))
        if not any(option.name == "as_json" for option in verb.params)
    ]

    assert missing == []


def _verbs(command: click.Command) -> list[click.Command]:
    return list(command.commands.values()) if isinstance(command, click.Group) else [command]


def test_help_loads_nothing_that_takes_time():
    code = (
        "import sys; from stafett import cli; cli.main(['--help'], standalone_mode=False);"
        "slow = {'uvicorn', 'starlette', 'sqlalchemy', 'msgspec', 'asyncio', 'http.client'};"
        "sys.exit(', '.join(slow & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stderr.strip() == ""
    assert "event-type" in done.stdout


def test_an_unknown_verb_is_answered_with_the_nearest():
    done = subprocess.run(
        [sys.executable, "-m", "stafett", "webhok"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "webhook" in done.stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("blåbær 漢字", "blåbær 漢字"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\rb\nc\td", "a\\rb\\nc\\td"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202eabc", "\\u202eabc"),
        ("\x07\x00", "\\x07\\x00"),
        ("\ud800", "\\ud800"),
        ("\u2028", "\\u2028"),
    ],
)
def test_what_could_steer_a_terminal_is_shown_and_not_obeyed(text: str, shown: str):
    assert printing.safe(text) == shown


def test_json_says_the_same_in_characters_that_can_be_seen(capfdbinary: Any):
    hidden = "\x7f\x85\x9b31m\u2028\u202e\U000e0001"
    sent = json.dumps({"name": f"blåbær {hidden}"}, indent=1, ensure_ascii=False).encode()

    printing.raw_json(sent)

    printed = capfdbinary.readouterr().out
    assert json.loads(printed) == json.loads(sent)
    assert "blåbær" in printed.decode()
    assert printed.count(b"\n") == sent.count(b"\n") + 1
    assert (set(hidden) - set("31m")).isdisjoint(printed.decode())


def test_lines_stay_lines():
    assert printing.safe_lines("a\r\nb\tc\x1b") == "a\nb   c\\x1b"


def test_columns_align_by_their_width_on_the_terminal(capsys: Any):
    printing.table(("name", "n"), [("漢字", 1), ("abc", 22), ("x\n", 3)], empty="nothing")

    assert capsys.readouterr().out == "NAME  N\n漢字  1\nabc   22\nx\\n   3\n"


def test_an_empty_table_says_so(capsys: Any):
    printing.table(("name",), [], empty="There is nothing.")

    assert capsys.readouterr().out == "There is nothing.\n"


def test_fields_leave_out_what_is_not_there(capsys: Any):
    printing.fields((("id", "x"), ("nothing", None), ("long name", 0), ("empty", "")))

    assert capsys.readouterr().out == "id         x\nlong name  0\n"


def _record(message: str) -> logging.LogRecord:
    return logging.LogRecord("stafett.x", logging.INFO, "x.py", 1, message, (), None)


def test_a_log_line_is_one_line_in_either_form():
    record = _record("event=a\n\x1b[2J")

    text, encoded = logs.TextLines().format(record), logs.JsonLines().format(record)

    assert text.endswith("INFO stafett.x event=a\\n\\x1b[2J")
    assert json.loads(encoded)["message"] == "event=a\n\x1b[2J"
    assert "\n" not in text + encoded


@pytest.mark.parametrize(
    "hidden", ["\x7f", "\x85", "\x9b", "\u2028", "\u202e", "\U000e0001", "\ud800"]
)
def test_a_log_line_in_json_hides_nothing_either(hidden: str):
    encoded = logs.JsonLines().format(_record(f"blåbær {hidden}"))

    assert hidden not in encoded
    assert "blåbær" in encoded
    assert json.loads(encoded)["message"] == f"blåbær {hidden}"


@pytest.mark.parametrize(
    ("version", "level", "said"),
    [
        ((3, 34, 9), "FAIL", "newer"),
        ((3, 40, 1), "OK", "harmless here"),
        ((3, 51, 2), "OK", "harmless here"),
        ((3, 51, 3), "OK", "3.51.3"),
    ],
)
def test_doctor_judges_sqlite(version: tuple[int, int, int], level: str, said: str):
    finding = doctor.sqlite(version)

    assert (finding.level, said in finding.text) == (level, True)
    assert ("harmless" in finding.text) == ((3, 35, 0) <= version <= (3, 51, 2))


NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "written_at", "level"),
    [
        (NOW, None, "OK"),
        (NOW, NOW, "OK"),
        (NOW, NOW + timedelta(seconds=2), "OK"),
        (NOW, NOW + timedelta(hours=1), "FAIL"),
        (datetime(1970, 1, 1, tzinfo=UTC), None, "FAIL"),
    ],
)
def test_doctor_judges_the_clock(now: datetime, written_at: datetime | None, level: str):
    assert doctor.clock(now, written_at=written_at).level == level


@pytest.mark.parametrize(("version", "level"), [((3, 10, 9), "FAIL"), ((3, 11, 0), "OK")])
def test_doctor_judges_python(version: tuple[int, int, int], level: str):
    assert doctor.python(version).level == level
