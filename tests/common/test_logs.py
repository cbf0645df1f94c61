from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from common.logs import FIELDS, JsonFormatter, TextFormatter, configure_logging
from common.processes import ROOT


def record(message: str, *args: object, **changes: Any) -> logging.LogRecord:
    made = logging.LogRecord("serving.http", logging.WARNING, __file__, 1, message, args, None)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def line(made: logging.LogRecord) -> dict[str, Any]:
    text = JsonFormatter().format(made)
    assert "\n" not in text
    document: dict[str, Any] = json.loads(text)
    return document


def test_a_record_is_one_json_line() -> None:
    found = line(record('a "quoted"\nline of %s', "text", created=1767323045.25))
    assert found == {
        "time": "2026-01-02T03:04:05.250+00:00",
        "level": "WARNING",
        "logger": "serving.http",
        "message": 'a "quoted"\nline of text',
    }
    assert datetime.fromisoformat(found["time"]).tzinfo is not None


def test_extras_are_carried_and_absent_ones_are_not() -> None:
    extras = {name: f"{name}-value" for name in FIELDS}
    found = line(record("x", **extras))
    assert {name: found[name] for name in FIELDS} == extras
    assert set(line(record("x", revision=None))) == {"time", "level", "logger", "message"}


def test_attributes_that_are_no_fields_stay_out() -> None:
    assert "secret" not in line(record("x", secret="hunter2", payload="iVBOR"))


def test_what_json_does_not_know_is_written_as_text() -> None:
    assert line(record("x", model=ValueError("odd")))["model"] == "odd"


def test_an_exception_comes_with_its_traceback() -> None:
    try:
        raise KeyError("lost")
    except KeyError:
        found = line(record("unexpected error", exc_info=sys.exc_info()))
    assert found["message"] == "unexpected error"
    assert "Traceback" in found["traceback"]
    assert "KeyError: 'lost'" in found["traceback"]


@pytest.fixture
def restored() -> Iterator[None]:
    names = ("", "kserve", "kserve.trace", "uvicorn", "uvicorn.access")
    kept = {n: (g.level, g.handlers[:], g.propagate) for n in names for g in [logging.getLogger(n)]}
    yield
    logging.captureWarnings(False)
    for name, (level, handlers, propagate) in kept.items():
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate


@pytest.mark.usefixtures("restored")
def test_every_logger_writes_json_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    logging.getLogger("serving.http").info("one", extra={"status": 200})
    logging.getLogger("serving.http").debug("too low")
    logging.getLogger("kserve").info("chatter")
    logging.getLogger("kserve").warning("two")
    logging.getLogger("uvicorn.error").error("three")
    logging.getLogger("uvicorn.access").warning("not ours")
    captured = capsys.readouterr()
    assert captured.err == ""
    found = [json.loads(text) for text in captured.out.splitlines()]
    assert [item["message"] for item in found] == ["one", "two", "three"]
    assert found[0]["status"] == 200


@pytest.mark.usefixtures("restored")
def test_warnings_are_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("mind the gap", stacklevel=1)
    found = json.loads(capsys.readouterr().out)
    assert found["level"] == "WARNING"
    assert "mind the gap" in found["message"]


def test_a_terminal_gets_a_line_for_people() -> None:
    made = record("body is not JSON", status=400, path="/v1/models/mnist:predict", revision=None)
    text = TextFormatter().format(made)
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d WARNING serving\.http: body is not JSON"
        r"  \[path=/v1/models/mnist:predict status=400\]",
        text,
    )


def test_a_terminal_shows_the_level_where_it_matters_and_the_traceback() -> None:
    made = record("serving mnist")
    made.levelno, made.levelname = logging.INFO, "INFO"
    assert TextFormatter().format(made).endswith(" serving.http: serving mnist")
    try:
        raise KeyError("lost")
    except KeyError:
        text = TextFormatter().format(record("unexpected error", exc_info=sys.exc_info()))
    assert text.splitlines()[0].endswith(" WARNING serving.http: unexpected error")
    assert text.endswith("KeyError: 'lost'")


@pytest.mark.usefixtures("restored")
def test_the_format_follows_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    configure_logging("INFO")
    logging.getLogger("serving").info("one")
    assert re.fullmatch(r"\d\d:\d\d:\d\d serving: one\n", capsys.readouterr().out)


def test_a_full_disk_is_said_once() -> None:
    text = (
        "import logging; from common.logs import configure_logging; configure_logging();"
        "[logging.getLogger('x').info('line') for _ in range(3)]"
    )
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", text],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.stderr.splitlines()[0] == "log lines are lost: No space left on device"
    assert done.stderr.count("log lines are lost") == 1
    assert "Traceback" not in done.stderr
