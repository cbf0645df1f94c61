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


def greeting(root: Path, models: list[str]) -> str:
    return entry.greeting(URL, entry.samples_of(root, models))


def test_the_greeting_has_a_command_for_every_model() -> None:
    text = greeting(SHIPPED, model_names())
    for name in model_names():
        assert f"http://localhost:9090/v1/models/{name}:predict" in text
    samples = re.findall(r"samples/\S+?\.png", text)
    assert samples == ["samples/ankle-boot.png", "samples/seven.png"]
    assert all((ROOT / sample).is_file() for sample in samples)


def test_the_greeting_for_aerial_images_sends_the_sample() -> None:
    text = greeting(SHIPPED, ["land-cover"])
    (sample,) = re.findall(r"-F file=@(\S+)", text)
    assert (ROOT / sample).is_file()
    assert "'http://localhost:9090/v1/models/land-cover:predict?output=png'" in text


def test_the_greetings_payload_is_json() -> None:
    payloads = re.findall(r"echo '(.*)' \|", greeting(SHIPPED, model_names()))
    assert len(payloads) == 2
    for payload in payloads:
        document = json.loads(re.sub(r"'\$\(.*\)'", "QUJD", payload))
        assert document == {"instances": [{"base64": "QUJD"}]}


def test_a_model_of_ones_own_gets_the_sample_of_its_task(tmp_path: Path) -> None:
    write_small(tmp_path, "flowers", "1", 0)
    text = greeting(tmp_path, ["flowers", "nosuch"])
    assert "samples/seven.png" in text
    assert "http://localhost:9090/v1/models/flowers:predict -d @-" in text
    assert "  nosuch: no sample (" in text


def test_a_failure_is_one_plain_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("VENVS", str(tmp_path))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        # The predictor's HTTP port is the one after the service's.
        monkeypatch.setattr(sys, "argv", ["local", "--port", str(taken - 1)])
        assert entry.main() == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.match(
        rf"run: port {taken} is taken by process \d+ \(.*\): "
        rf"the predictor listens on the one after PORT={taken - 1}; choose another with PORT=",
        captured.err,
    )
    assert "Traceback" not in captured.err
