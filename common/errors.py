"""Errors of starting things, for a person at a terminal."""

from __future__ import annotations


class StartError(RuntimeError):
    """Something cannot be started; the message says why and what to do."""
