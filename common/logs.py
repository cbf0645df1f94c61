"""Log lines on standard output: for people on a terminal, JSON elsewhere."""

from __future__ import annotations

import contextlib
import json
import logging
import logging.config
import sys
from datetime import datetime, timezone
from typing import Any, TextIO

FIELDS = (
    "request_id",
    "trace_id",
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

QUIET = ("alembic", "httpx", "kserve", "kserve.trace", "uvicorn")
"""Loggers of dependencies that write lines a request, or chatter at start, at INFO. KServe and
uvicorn configure theirs with handlers, which these settings replace."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, ``FIELDS`` that are set, traceback."""

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


class TextFormatter(logging.Formatter):
    """One line for people: time of day, level where it is not INFO, logger, message, fields."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone()
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        text = f"{moment:%H:%M:%S} {level}{record.name}: {record.getMessage()}"
        fields = [
            f"{name}={value}"
            for name in FIELDS
            if (value := getattr(record, name, None)) is not None
        ]
        if fields:
            text += f"  [{' '.join(fields)}]"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class StandardOutput(logging.StreamHandler[TextIO]):
    """Writes to standard output; where that cannot be, on a full disk, says so once."""

    _said = False

    def __init__(self) -> None:
        super().__init__(sys.stdout)

    def handleError(self, record: logging.LogRecord) -> None:
        """Python's own writes a traceback for every line that is lost."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._said:
            self._said = True
            with contextlib.suppress(OSError):
                print(f"log lines are lost: {error.strerror}", file=sys.stderr, flush=True)


def configure_logging(level: str = "INFO") -> None:
    """Send every logger to standard output; must run before KServe's own set-up."""
    logging.captureWarnings(True)
    kind = TextFormatter if sys.stdout.isatty() else JsonFormatter
    quiet = {"level": "WARNING", "handlers": ["stdout"], "propagate": False}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": kind}},
            "handlers": {
                "stdout": {
                    "()": StandardOutput,
                    "formatter": "line",
                }
            },
            "root": {"level": level, "handlers": ["stdout"]},
            "loggers": {
                **{name: dict(quiet) for name in QUIET},
                # Its lines would hold people's addresses and paths with tokens in them; requests
                # are logged by whoever answers them.
                "uvicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
            },
        }
    )
