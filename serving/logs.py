"""JSON lines on standard output, one formatter for KServe, uvicorn and ourselves."""

from __future__ import annotations

import json
import logging
import logging.config
import time
import warnings
from datetime import datetime, timezone
from typing import Any

FIELDS = (
    "request_id",
    "method",
    "path",
    "status",
    "model",
    "revision",
    "code",
    "milliseconds",
    "instances",
    "account_id",
    "content",
    "left_out",
)
"""Extra attributes that a record may carry."""


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in FIELDS:
            value = getattr(record, name, None)
            if value is not None:
                line[name] = value
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logging(level: str) -> None:
    """Send every logger through ``JsonFormatter``; must run before KServe's own set-up."""
    quiet = {"level": "WARNING", "handlers": ["stdout"], "propagate": False}
    logging.captureWarnings(True)
    # KServe 0.21 answers with a class that current FastAPI calls deprecated, once a route.
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonFormatter}},
            "handlers": {
                "stdout": {
                    "class": "logging.StreamHandler",
                    "stream": "ext://sys.stdout",
                    "formatter": "json",
                }
            },
            "root": {"level": level, "handlers": ["stdout"]},
            # KServe writes about four lines a request at INFO, and hosts the server's start-up
            # chatter; uvicorn's access log is replaced by ours.
            "loggers": {
                "kserve": {**quiet},
                "kserve.trace": {**quiet},
                "uvicorn": {**quiet},
                "uvicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
            },
        }
    )


class Sample:
    """So many log lines a second of one kind: a flood of failures must not cost more than work.

    Args:
        per_second: lines of one kind in any second that begins with the first of them.
    """

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._kinds: dict[str, tuple[float, int, int]] = {}

    def count(self, kind: str) -> int | None:
        """None to leave this line out; else how many were left out before it."""
        now = time.monotonic()
        since, logged, left_out = self._kinds.get(kind, (0.0, 0, 0))
        if now - since >= 1:
            since, logged = now, 0
        if logged >= self._per_second:
            self._kinds[kind] = (since, logged, left_out + 1)
            return None
        self._kinds[kind] = (since, logged + 1, 0)
        return left_out

    def forget(self) -> None:
        """Begin anew."""
        self._kinds.clear()
