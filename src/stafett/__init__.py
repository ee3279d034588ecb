"""Stafett tells other applications what happened, the moment it happens."""

__version__ = "0.1.0"
