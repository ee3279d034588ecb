"""What went wrong between two machines, on its way to becoming an outcome.

Invariant: `detail` goes to the tenant as it is, so it names no address and no port.
"""

from __future__ import annotations

from typing import final

from stafett.model import FailureCause


@final
class SendFailed(Exception):
    """No usable reply; caught in one place, where it becomes an outcome."""

    def __init__(self, cause: FailureCause, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail
