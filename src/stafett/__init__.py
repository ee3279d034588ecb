"""Stafett tells other applications what happened, the moment it happens.

`from stafett import Stafett` is the way in for embedding.
"""

import importlib
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`Stafett`, loaded when it is asked for: `stafett --help` must not load the engine."""
    if name == "Stafett":
        return importlib.import_module("stafett.app").Stafett
    message = f"module 'stafett' has no attribute {name!r}"
    raise AttributeError(message)
