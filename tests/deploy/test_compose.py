"""The image and the compose files, by what is written in them."""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.conftest import DEPLOY, ROOT
from docs.test_docs import parsed
from stafett import settings

FILES = ("compose.sqlite.yaml", "compose.postgresql.yaml")
Compose = dict[str, Any]


@pytest.fixture(params=FILES)
def compose(request: pytest.FixtureRequest) -> Compose:
    return yaml.safe_load((DEPLOY / request.param).read_text())


@pytest.fixture
def postgresql() -> Compose:
    return yaml.safe_load((DEPLOY / "compose.postgresql.yaml").read_text())


def ours(compose: Compose) -> dict[str, Compose]:
    """The services that run our image."""
    return {name: each for name, each in compose["services"].items() if each["image"] == "stafett"}


# --- the image --------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile with what follows, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line)]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for each in instructions():
        if each[0] == "FROM":
            found.append([])
        if found:
            found[-1].append(each)
    return found


def last(word: str) -> str:
    """What an instruction of the stage that runs says."""
    return [rest for name, rest in stages()[-1] if name == word][-1]


def test_what_runs_is_a_stage_of_its_own_with_no_tools() -> None:
    build, run = stages()
    assert build[0] == ("FROM", "python:${PYTHON}-slim AS build")
    assert run[0] == ("FROM", "python:${PYTHON}-slim")
    [copied] = [rest for word, rest in run if word == "COPY"]
    assert copied == "--from=build /opt/stafett /opt/stafett"
    for tool in ("pip", "apt", "curl"):
        assert not [rest for word, rest in run if word == "RUN" and tool in rest]


def test_every_package_is_pinned_by_its_hash() -> None:
    """Only the wheel that was just built, from the files here, has none."""
    steps = [rest for word, rest in instructions() if word == "RUN"]
    installs = [step for steps_ in steps for step in steps_.split("&&") if "pip install" in step]
    assert len(installs) == 3
    for step in installs:
        assert "--require-hashes" in step or "--no-deps --no-index dist/*.whl" in step
        for path in re.findall(r"requirements/\S+", step):
            assert (ROOT / path).is_file()


def test_it_does_not_run_as_root_and_stops_as_it_should() -> None:
    user, group = last("USER").split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert f"--uid {user}" in last("RUN")
    assert f"--owner={user} --group={group} --mode=0700 /data" in last("RUN")
    assert last("VOLUME") == "/data"
    assert last("STOPSIGNAL") == "SIGTERM"


def test_it_asks_itself_how_it_is() -> None:
    _, _, command = last("HEALTHCHECK").partition("CMD ")
    parsed(yaml.safe_load(command))
    assert yaml.safe_load(command) == ["stafett", "health"]


def test_it_starts_the_server_with_settings_that_there_are(tmp_path: Path) -> None:
    variables = dict(each.split("=", 1) for each in shlex.split(last("ENV")))
    path, *_ = variables.pop("PATH").split(":")
    assert path == "/opt/stafett/bin"
    loaded = settings.load({}, variables, tmp_path).settings
    assert (loaded.host, str(loaded.data), loaded.log_format) == ("0.0.0.0", "/data", "json")
    parsed([*yaml.safe_load(last("ENTRYPOINT")), *yaml.safe_load(last("CMD"))])


def test_no_image_comes_from_a_registry_that_is_named(postgresql: Compose) -> None:
    images = [rest for word, rest in instructions() if word == "FROM"]
    images += [each["image"] for each in postgresql["services"].values()]
    assert images
    assert not [each for each in images if "/" in each]


def taken(path: str) -> bool:
    """Whether a file comes into the build, by `.dockerignore`: the last line that fits decides."""
    result = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").rstrip("/").removeprefix("**/")
        parts = Path(path).parts
        below = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        names = [*parts, *below] if "**/" in line else below
        if any(fnmatch(each, pattern) for each in names):
            result = line.startswith("!")
    return result


@pytest.mark.parametrize(
    ("path", "comes"),
    [
        ("src/stafett/cli/__init__.py", True),
        ("src/stafett/web/admin/languages/nb.toml", True),
        ("requirements/runtime.txt", True),
        ("pyproject.toml", True),
        (".env", False),
        (".git/config", False),
        (".venv/bin/python", False),
        ("deploy/secrets/database_url", False),
        ("stafett-data/stafett.db", False),
        ("src/stafett/__pycache__/app.cpython-311.pyc", False),
        ("tests/conftest.py", False),
    ],
)
def test_only_what_is_needed_comes_into_the_build(path: str, comes: bool) -> None:
    assert taken(path) == comes


def test_everything_that_is_copied_comes_into_the_build() -> None:
    for word, rest in stages()[0]:
        if word == "COPY":
            *sources, _ = rest.split()
            for source in sources:
                assert (ROOT / source).exists(), source
                assert taken(source.rstrip("/") + ("/file" if source.endswith("/") else ""))


# --- compose ----------------------------------------------------------------------------------


def test_every_command_is_one_that_there_is(compose: Compose) -> None:
    for service in ours(compose).values():
        parsed(["stafett", *service["command"]])
        test = service["healthcheck"].get("test")
        if test:
            assert test[0] == "CMD"
            parsed(test[1:])


def test_every_variable_is_a_setting(compose: Compose, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("postgresql://user:password@host/" + "d" * 32)
    for service in ours(compose).values():
        variables = {
            name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", text)
            for name, text in service["environment"].items()
        }
        files = {name: str(tmp_path / "secret") for name in variables if name.endswith("_FILE")}
        settings.load({}, variables | files, tmp_path)


def test_our_containers_may_do_no_more_than_they_must(compose: Compose) -> None:
    for service in ours(compose).values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
        assert "user" not in service, "the image has its own"


def test_what_runs_comes_back_and_has_time_to_end(compose: Compose) -> None:
    for name, service in ours(compose).items():
        assert service["stop_grace_period"] == "90s"
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")


def test_nothing_is_open_to_the_network_by_itself(compose: Compose) -> None:
    """In front of it stands what ends TLS."""
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert ports == ["127.0.0.1:8071:8071"]


def test_data_outlives_its_container(compose: Compose) -> None:
    mounted = {
        volume.partition(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", ())
    }
    assert mounted == set(compose["volumes"])


def test_a_file_of_compose_builds_from_the_checkout(compose: Compose) -> None:
    for service in ours(compose).values():
        assert (DEPLOY / service["build"]["context"]).resolve() == ROOT


def test_the_schema_comes_first_and_once(postgresql: Compose) -> None:
    services = postgresql["services"]
    assert services["migrate"]["command"] == ["migrate"]
    assert services["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    for name in ("server", "dispatch"):
        assert services[name]["depends_on"] == {
            "database": {"condition": "service_healthy"},
            "migrate": {"condition": "service_completed_successfully"},
        }


def test_one_process_takes_and_two_send(postgresql: Compose) -> None:
    services = postgresql["services"]
    assert services["server"]["command"] == ["serve", "--no-dispatch"]
    assert "deploy" not in services["server"]
    assert services["dispatch"]["command"][0] == "dispatch"
    assert services["dispatch"]["deploy"] == {"replicas": 2}
    assert "ports" not in services["dispatch"], "two cannot have one port of the machine"


def test_secrets_are_files_that_only_those_have_who_need_them(postgresql: Compose) -> None:
    services = postgresql["services"]
    for name, service in services.items():
        files = [text for key, text in service["environment"].items() if key.endswith("_FILE")]
        assert sorted(files) == sorted(f"/run/secrets/{each}" for each in service["secrets"]), name
    assert services["dispatch"]["secrets"] == ["database_url"]
    declared = {name: each["file"] for name, each in postgresql["secrets"].items()}
    assert declared == {name: f"./secrets/{name}" for name in declared}
    assert "/secrets/" in (DEPLOY / ".gitignore").read_text().splitlines()


def test_nobody_outside_reaches_the_database(postgresql: Compose) -> None:
    assert postgresql["networks"]["database"] == {"internal": True}
    assert postgresql["services"]["database"]["networks"] == ["database"]
    assert "ports" not in postgresql["services"]["database"]
