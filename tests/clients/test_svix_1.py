"""The package `svix` 1.99.1, which cannot live beside 2.x: in an environment of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from web.conftest import Recorder, Running

VERSION = "1.99.1"
ENVIRONMENT = Path(__file__).parents[2] / ".venv-svix1"
SCRIPT = Path(__file__).with_name("svix_1_script.py")


@pytest.fixture(scope="session")
def python() -> Path:
    """An interpreter with that package; made once and kept."""
    python = ENVIRONMENT / "bin" / "python"
    done = ENVIRONMENT / f"svix-{VERSION}"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        command = [python, "-m", "pip", "install", "--quiet", f"svix=={VERSION}"]
        subprocess.run(command, check=True)
        done.touch()
    return python


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_svix_1_drives_every_operation(python: Path, server: Running, receiver: Recorder) -> None:
    command = [python, SCRIPT, server.url, server.token, receiver.url("/svix-1")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
