"""Times as the history has them."""

from __future__ import annotations

from datetime import datetime, timezone


def now() -> str:
    """UTC, ``2026-11-29T20:00:00Z``."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
