from __future__ import annotations

import json
import re
import socket
import sys
from pathlib import Path

import pytest

from common.processes import ROOT
from local import __main__ as entry
from local.manifest import model_names
from tests.conftest import SHIPPED, write_small

URL = "http://127.0.0.1:9090"


def test_the_greeting_has_a_command_for_every_model() -> None:
    text = entry.greeting(URL, SHIPPED, model_names())
    for name in model_names():
        assert f"http://localhost:9090/v1/models/{name}:predict" in text
    samples = re.findall(r"samples/\S+?\.png", text)
    assert samples == ["samples/ankle-boot.png", "samples/seven.png"]
    assert all((ROOT / sample).is_file() for sample in samples)


def test_the_greeting_for_aerial_images_sends_the_sample() -> None:
    text = entry.greeting(URL, SHIPPED, ["land-cover"])
    (sample,) = re.findall(r"-F file=@(\S+)", text)
    assert (ROOT / sample).is_file()
    assert "'http://localhost:9090/v1/models/land-cover:predict?output=png'" in text


def test_the_greetings_payload_is_json() -> None:
    payloads = re.findall(r"echo '(.*)' \|", entry.greeting(URL, SHIPPED, model_names()))
    assert len(payloads) == 2
    for payload in payloads:
        document = json.loads(re.sub(r"'\$\(.*\)'", "QUJD", payload))
        assert document == {"instances": [{"base64": "QUJD"}]}


def test_a_model_of_ones_own_gets_the_sample_of_its_task(tmp_path: Path) -> None:
    write_small(tmp_path, "flowers", "1", 0)
    text = entry.greeting(URL, tmp_path, ["flowers", "nosuch"])
    assert "samples/seven.png" in text
    assert "http://localhost:9090/v1/models/flowers:predict -d @-" in text
    assert "  nosuch: no sample (" in text


def test_a_failure_is_one_plain_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("VENVS", str(tmp_path))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        taken = listener.getsockname()[1]
        # The predictor's HTTP port is the one after the service's.
        monkeypatch.setattr(sys, "argv", ["local", "--port", str(taken - 1)])
        assert entry.main() == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"run: port {taken} is taken; choose another with PORT=")
    assert "Traceback" not in captured.err
