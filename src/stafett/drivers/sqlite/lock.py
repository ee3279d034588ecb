"""Keeps a second server off the same file.

The lock lies in the operating system, not in the file's existence: it ends with its holder.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from stafett import errors


class FileLock:
    """An exclusive lock beside the database, held as long as the process lives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self) -> None:
        """Errors: StoreInUse when another process holds it; Unavailable when it may not be made."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            message = (
                f"cannot write {self._path}: {exc.strerror}; does the data folder belong to another"
                " user? give it to this one, or choose another place (--data)"
            )
            raise errors.Unavailable(message) from exc
        try:
            _lock(descriptor)
        except OSError as exc:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            message = (
                f"another server (process {holder}) already uses {self._path.with_suffix('')};"
                " stop it first, or give this one another data folder (--data)"
            )
            raise errors.StoreInUse(message) from exc
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 20  # Windows locks bytes against reading too, so lock one that nobody reads

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
