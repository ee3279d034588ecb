"""The wheel, alone: built, installed outside the checkout beside nothing but what it asks for, run.

What it asks for comes from this environment, distribution by distribution, as the wheel's own
metadata names them: so a package that is used and not asked for is missing, and no index is needed.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import stafett
from deploy.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
_WITHIN = 60


def requirements(texts: list[str], extra: str = "") -> Iterator[Requirement]:
    """Those that hold on this machine."""
    for text in texts:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def closure(texts: list[str]) -> dict[str, importlib.metadata.Distribution]:
    """The distributions that `texts` ask for, with what those ask for."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = list(requirements(texts))
    while waiting:
        asked = waiting.pop()
        there = importlib.metadata.distribution(asked.name)
        assert asked.specifier.contains(there.version, prereleases=True), asked
        if there.name not in found:
            found[there.name] = there
            for extra in ("", *asked.extras):
                waiting += requirements(there.requires or [], extra)
    return found


def lend(distribution: importlib.metadata.Distribution, folder: Path) -> None:
    """Link what a distribution has installed here into another environment's folder."""
    for file in distribution.files or ():
        top = file.parts[0]
        if top in {"..", "__pycache__"}:
            continue
        link = folder / top
        if not link.exists():
            link.symlink_to(Path(str(distribution.locate_file(top))).resolve())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    words = (sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory")
    subprocess.run((*words, str(folder)), cwd=ROOT, check=True, timeout=_WITHIN)
    [made] = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `stafett` of an environment that has the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("elsewhere") / "environment"
    assert not folder.is_relative_to(ROOT)
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install = (python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel)
    subprocess.run(install, check=True, timeout=_WITHIN, env=_clean())
    [packages] = folder.glob("lib/python*/site-packages")
    [metadata] = packages.glob("stafett-*.dist-info")
    asked = importlib.metadata.PathDistribution(metadata).requires or []
    for distribution in closure(asked).values():
        lend(distribution, packages)
    return folder / "bin" / "stafett"


def _clean() -> dict[str, str]:
    """This environment without what would lead back to the checkout or to a server."""
    left = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "STAFETT_", "PIP_")
    return {name: text for name, text in os.environ.items() if not name.startswith(left)}


# --- what is in it ----------------------------------------------------------------------------


def test_it_has_everything_that_the_package_has(wheel: Path) -> None:
    source = ROOT / "src"
    wanted = {
        path.relative_to(source).as_posix()
        for path in (source / "stafett").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    metadata = {name for name in names if ".dist-info/" in name}
    assert names - metadata == wanted
    assert any(name.endswith("licenses/LICENSE") for name in metadata)


# --- run elsewhere ----------------------------------------------------------------------------


def test_it_is_the_wheel_that_runs(command: Path, tmp_path: Path) -> None:
    said = _run(command, "--version", folder=tmp_path)
    assert said == f"stafett, version {stafett.__version__}\n"
    where = (command.with_name("python"), "-c", "import stafett; print(stafett.__file__)")
    found = subprocess.run(
        where, cwd=tmp_path, env=_clean(), capture_output=True, text=True, check=True
    )
    assert Path(found.stdout.strip()).is_relative_to(command.parents[1])


def test_it_serves(command: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        (command, "serve", "--port", "0"),
        cwd=tmp_path,
        env=_clean(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Stafett serves at "), process.communicate(timeout=_WITHIN)[1]
        url = line.split()[3]
        with urllib.request.urlopen(f"{url}/health", timeout=_WITHIN) as answer:
            assert json.load(answer) == {"status": "ok"}
        with urllib.request.urlopen(f"{url}/admin/", timeout=_WITHIN) as answer:
            assert b"<html" in answer.read()
        assert _run(command, "health", folder=tmp_path) == f"{url} lives\n"
        assert "order" in _run(command, "event-type", "list", "--json", folder=tmp_path)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=_WITHIN)
        assert process.returncode == 0, errors
    finally:
        process.kill()
        process.communicate()


def _run(command: Path, *words: str, folder: Path) -> str:
    """What it prints, where it succeeds."""
    done = subprocess.run(
        (command, *words),
        cwd=folder,
        env=_clean(),
        capture_output=True,
        text=True,
        timeout=_WITHIN,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
