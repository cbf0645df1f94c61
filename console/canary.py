"""The record of a rollout, as it is kept in a ConfigMap, read over HTTP."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

import httpx

from accounts.rollout_record import read_record
from accounts.settings import AccountsSettings
from console.evidence import Evidence, read_evidence

MAX_ENTRIES = 10

STABLE = ("found", "changed elsewhere", "promoted", "rolled back")
"""Entries of the history that tell of all that is live from there on."""

logger = logging.getLogger("console.canary")


@dataclass(frozen=True)
class Entry:
    at: str
    by: str
    action: str
    models: str


@dataclass(frozen=True)
class Canary:
    """Attributes:
    problem: why nothing is known, where nothing is.
    title: of the change under way, else of the last one that was judged; empty where there is
        neither.
    ended: how the latter ended; empty where one is under way.
    """

    problem: str = ""
    title: str = ""
    ended: str = ""
    step: str = ""
    percent: int | None = None
    by: str = ""
    since: str = ""
    why: str = ""
    history: tuple[Entry, ...] = ()
    evidence: Evidence = Evidence()


def read_canary(settings: AccountsSettings) -> Canary | None:
    """None where no record is configured; never raises, for the rest of the page's sake."""
    if not settings.rollout_url:
        return None
    try:
        data = read_record(settings)
        return (
            Canary(problem="no rollout has been made yet") if data is None else parse_record(data)
        )
    except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError):
        logger.exception("the rollout's record cannot be read")
        return Canary(problem="the rollout's record cannot be read now")


def read_live(settings: AccountsSettings) -> dict[str, str]:
    """Revisions by model as the record has them live; empty where that is not known.

    Nothing is woken for it. Never raises.
    """
    if not settings.rollout_url:
        return {}
    try:
        history = json.loads((read_record(settings) or {}).get("history", "[]"))
        models = [item["models"] for item in history if item["action"] in STABLE]
        return dict(models[-1]) if models else {}
    except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError):
        logger.warning("the rollout's record cannot be read")
        return {}


def parse_record(data: dict[str, str]) -> Canary:
    """The parts of a record that the page shows; ``data`` has a JSON document a key."""
    operation = json.loads(data.get("operation", "null")) or {}
    history = json.loads(data.get("history", "[]"))
    entries = tuple(
        Entry(
            str(item.get("at", "")),
            str(item.get("by", "")),
            str(item.get("action", "")),
            ", ".join(f"{k}/{v}" for k, v in (item.get("models") or {}).items()),
        )
        for item in reversed(history[-MAX_ENTRIES:])
    )
    ended = ""
    if not operation and (last := _last_judged(data, history)):
        operation, ended = last, str(last["action"])
    return Canary(
        title=f"{operation['model']}: revision {operation['was']} to {operation['revision']}"
        if operation
        else "",
        ended=ended,
        step=str(operation.get("step", "")),
        percent=operation.get("percent"),
        by=str(operation.get("by", "")),
        since=str(operation.get("since") or operation.get("at") or ""),
        why=str(operation.get("why", "")),
        history=entries,
        evidence=_evidence(operation),
    )


def _last_judged(data: dict[str, str], history: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The last change that was judged on evidence, with how it ended; None where none was."""
    judged = json.loads(data.get("judged", "null"))
    if not judged:
        return None
    entry = next((item for item in history if item.get("number") == judged["entry"]), None)
    return entry and {**entry, "was": judged["was"], "progress": judged["progress"]}


def _evidence(operation: dict[str, Any]) -> Evidence:
    try:
        return read_evidence(operation.get("progress") or {})
    except (ValueError, KeyError, TypeError, ZeroDivisionError):
        # Another version's: the rest of the record is shown all the same.
        logger.warning("the rollout's evidence cannot be read")
        return Evidence()
