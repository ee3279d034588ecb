"""Where settings come from, which place wins, and what is said about a bad one."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stafett import errors, settings

TOKEN = "t" * 32


def load(cwd: Path, environ: dict[str, str] | None = None, **flags: object) -> settings.Loaded:
    return settings.load(flags, environ or {}, cwd)


def test_without_anything_there_are_defaults(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"PATH": "/bin"})
    assert loaded.settings == settings.Settings()
    assert set(loaded.sources.values()) == {"default"}
    assert loaded.settings.port == 8071
    assert loaded.settings.attempt_timeout == timedelta(seconds=15)


def test_the_first_place_that_names_a_setting_wins(tmp_path: Path) -> None:
    (tmp_path / "stafett.toml").write_text('host = "a"\nport = 1\ncatalog = "none"\ndata = "d"\n')
    (tmp_path / ".env").write_text("STAFETT_HOST=b\nSTAFETT_PORT=2\nSTAFETT_CATALOG=multisite\n")
    loaded = load(tmp_path, {"STAFETT_HOST": "c", "STAFETT_PORT": "3"}, port=4, host=None)
    found = loaded.settings
    assert (found.port, found.host, found.catalog, found.data) == (4, "c", "multisite", Path("d"))
    assert [loaded.sources[name] for name in ("port", "host", "catalog", "data", "token")] == [
        "flag",
        "environment",
        ".env",
        "stafett.toml",
        "default",
    ]


def test_a_flag_that_is_false_in_python_still_counts(tmp_path: Path) -> None:
    assert load(tmp_path, {"STAFETT_PORT": "9"}, port=0).settings.port == 0


def test_a_file_with_a_byte_order_mark_loses_none_of_its_lines(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("STAFETT_PORT=4444\n", encoding="utf-8-sig")
    (tmp_path / "stafett.toml").write_text('host = "b"\n', encoding="utf-8-sig")
    found = load(tmp_path).settings
    assert (found.port, found.host) == (4444, "b")


def test_dotenv_is_read_as_elsewhere(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# a comment\n\nexport STAFETT_HOST = '0.0.0.0' # all\nSTAFETT_PORT=80 # low\nOTHER=x\n"
        'STAFETT_DATA="a #b"\n'
    )
    found = load(tmp_path).settings
    assert (found.host, found.port, found.data) == ("0.0.0.0", 80, Path("a #b"))


def test_toml_takes_numbers_and_lists(tmp_path: Path) -> None:
    (tmp_path / "stafett.toml").write_text(
        'retry_schedule = [0.5, "5m"]\nallow_networks = ["127.0.0.1", "fd00::/8"]\n'
    )
    found = load(tmp_path).settings
    assert found.retry_schedule == (timedelta(seconds=0.5), timedelta(minutes=5))
    assert found.allow_networks == (
        ipaddress.ip_network("127.0.0.1/32"),
        ipaddress.ip_network("fd00::/8"),
    )


def test_a_schedule_without_waits_has_to_say_so(tmp_path: Path) -> None:
    found = load(tmp_path, {"STAFETT_RETRY_SCHEDULE": "none"})
    assert found.settings.retry_schedule == ()
    assert "none" in [
        text for spec, text, _ in settings.describe(found) if spec.name == "retry_schedule"
    ]
    for empty in ("", " ", ","):
        with pytest.raises(errors.InvalidSettings, match="say none"):
            load(tmp_path, {"STAFETT_RETRY_SCHEDULE": empty})


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(TOKEN + "\n")
    found = load(tmp_path, {"STAFETT_BOOTSTRAP_TOKEN_FILE": "secret"}).settings
    assert found.bootstrap_token is not None
    assert found.bootstrap_token.reveal() == TOKEN


@pytest.mark.parametrize("file_first", [True, False])
def test_a_secret_itself_beats_its_file(tmp_path: Path, file_first: bool) -> None:
    (tmp_path / "secret").write_text("from-file")
    pairs = [("STAFETT_TOKEN_FILE", "secret"), ("STAFETT_TOKEN", "itself")]
    found = load(tmp_path, dict(pairs if file_first else pairs[::-1])).settings
    assert found.token is not None
    assert found.token.reveal() == "itself"


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("STAFETT_PROT", "1", "did you mean STAFETT_PORT?"),
        ("STAFETT_RETRY_SHEDULE", "5s", "did you mean STAFETT_RETRY_SCHEDULE?"),
        ("STAFETT_PORT_FILE", "x", "did you mean STAFETT_PORT?"),
        ("STAFETT_ZZZZZZZZ", "x", "there are: "),
        ("STAFETT_PORT", "http", "from environment must be a port"),
        ("STAFETT_PORT", "65536", "must be a port"),
        ("STAFETT_PORT", "²", "STAFETT_PORT"),
        ("STAFETT_DATA", "", "must not be empty"),
        ("STAFETT_ATTEMPT_TIMEOUT", "soon", "for example 15s"),
        ("STAFETT_ATTEMPT_TIMEOUT", "0", "longer than nothing"),
        ("STAFETT_ATTEMPT_TIMEOUT", "6m", "at most 5m"),
        ("STAFETT_DISABLE_AFTER", "9" * 30 + "d", "too long"),
        ("STAFETT_RETRY_SCHEDULE", "5s,-1s", "not a duration"),
        ("STAFETT_RETRY_SCHEDULE", "1," * 101, "at most 100"),
        ("STAFETT_ALLOW_NETWORKS", "10.0.0.1/8", "host bits"),
        ("STAFETT_CATALOG", "all", "one of multisite, none"),
        ("STAFETT_LOG_FORMAT", "xml", "one of text, json"),
        ("STAFETT_PUBLIC_URL", "example.com", "begin with http"),
        ("STAFETT_TOKEN_FILE", "nowhere", "cannot be read"),
    ],
)
def test_a_bad_setting_is_refused_in_words(
    tmp_path: Path, variable: str, text: str, said: str
) -> None:
    with pytest.raises(errors.InvalidSettings) as caught:
        load(tmp_path, {variable: text})
    assert variable in caught.value.detail
    assert said in caught.value.detail


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (".env", b"STAFETT_PORTT=1", "STAFETT_PORTT (.env)"),
        (".env", b"STAFETT_PORT=x", "from .env"),
        (".env", b"\n" + TOKEN.encode(), "line 2 of .env"),
        (".env", b"\xff\xfe", ".env cannot be read"),
        ("stafett.toml", b"prot = 1", "did you mean port?"),
        ("stafett.toml", b"port = true", "from stafett.toml"),
        ("stafett.toml", b"port = ", "stafett.toml cannot be read"),
        ("stafett.toml", b"\xff\xfe", "stafett.toml cannot be read"),
    ],
)
def test_a_bad_file_is_refused_with_its_name(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.InvalidSettings) as caught:
        load(tmp_path)
    assert said in caught.value.detail
    assert TOKEN not in caught.value.detail


@pytest.mark.parametrize("token", ["t" * 31, "t" * 31 + " ", "t" * 31 + "\xe6"])
def test_a_weak_bootstrap_token_is_refused_and_never_shown(tmp_path: Path, token: str) -> None:
    with pytest.raises(errors.InvalidSettings) as caught:
        load(tmp_path, {"STAFETT_BOOTSTRAP_TOKEN": token})
    assert "STAFETT_BOOTSTRAP_TOKEN from environment" in caught.value.detail
    assert caught.value.detail.endswith("; for example the output of openssl rand -hex 32")
    assert "tttt" not in caught.value.detail


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5s", 5), ("500ms", 0.5), ("1.5s", 1.5), ("2h", 7200), ("90d", 7_776_000), ("7", 7)],
)
def test_durations(text: str, seconds: float) -> None:
    assert settings.parse_duration(text) == timedelta(seconds=seconds)


@given(duration=st.timedeltas(timedelta(microseconds=1), timedelta(days=3650)))
def test_a_shown_duration_reads_back(duration: timedelta) -> None:
    assert settings.parse_duration(settings.show_duration(duration)) == duration


def test_networks_are_read_from_a_list_with_commas() -> None:
    read = settings.parse_networks(" 10.0.0.0/8, ::1 ,,192.168.1.7,")
    assert [str(network) for network in read] == ["10.0.0.0/8", "::1/128", "192.168.1.7/32"]
    assert settings.parse_networks("") == ()


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.1/8", "localhost", "10/8", "10.0.0.0 /8"])
def test_of_a_list_of_networks_the_one_that_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is not a network"):
        settings.parse_networks(f"127.0.0.1,{text}")


@pytest.mark.parametrize("variable", ["STAFETT_URL", "STAFETT_PUBLIC_URL"])
@pytest.mark.parametrize(
    "text",
    [
        "https://ada:hush@hooks.example",
        "https://hush@hooks.example/in",
        "https://ada:hu/hush@hooks.example",
        "ada:hush@hooks.example",
    ],
)
def test_an_address_with_a_password_is_refused_and_never_shown(
    tmp_path: Path, variable: str, text: str
) -> None:
    with pytest.raises(errors.InvalidSettings) as caught:
        load(tmp_path, {variable: text})
    assert f"{variable} from environment must not have a user and password" in caught.value.detail
    assert "STAFETT_TOKEN" in caught.value.detail
    assert "hush" not in caught.value.detail


def test_every_setting_is_in_the_table_and_every_example_is_valid() -> None:
    named = {spec.name for spec in settings.SPECS}
    assert named == {each.name for each in fields(settings.Settings)}
    for spec in settings.SPECS:
        assert spec.description.endswith(".")
        if not spec.secret:  # an example of a secret is words, so that nobody uses it as one
            assert spec.parse(spec.example) is not None


@pytest.mark.parametrize(
    ("text", "on"), [("on", True), ("TRUE", True), ("1", True), ("off", False), ("no", False)]
)
def test_what_is_on_or_off_is_said_in_several_ways(tmp_path: Path, text: str, on: bool) -> None:
    found = load(tmp_path, {"STAFETT_PUBLIC_CATALOG": text}).settings
    assert found.public_catalog is on
    assert settings.show(found.public_catalog) == ("on" if on else "off")
    (tmp_path / "stafett.toml").write_text(f"public_catalog = {'true' if on else 'false'}\n")
    assert load(tmp_path).settings.public_catalog is on


def test_neither_on_nor_off_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidSettings, match="must be on or off"):
        load(tmp_path, {"STAFETT_PUBLIC_CATALOG": "maybe"})


def test_settings_of_a_program_come_from_it_or_are_the_usual_ones() -> None:
    loaded = settings.given(settings.Settings(port=9))
    assert loaded.settings.port == 9
    assert loaded.sources.keys() == {each.name for each in fields(settings.Settings)}
    assert {name for name, source in loaded.sources.items() if source != "default"} == {"port"}
    assert loaded.sources["port"] == "program"


def test_describe_shows_everything_and_no_secret(tmp_path: Path) -> None:
    secrets = {"STAFETT_TOKEN": "mine-alone", "STAFETT_BOOTSTRAP_TOKEN": TOKEN}
    rows = settings.describe(load(tmp_path, secrets, port=9))
    shown = {spec.name: (value, source) for spec, value, source in rows}
    assert shown["token"] == ("****", "environment")
    assert shown["port"] == ("9", "flag")
    assert shown["retry_schedule"] == ("5s,5m,30m,2h,5h,10h,14h,20h,1d", "default")
    assert TOKEN not in str(rows)


def test_settings_do_not_pull_in_cryptography() -> None:
    script = "import sys, stafett.settings; print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.strip() == b"False"
