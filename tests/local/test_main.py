from __future__ import annotations

import argparse
import json
import re
import shutil
import socket
import sys
from pathlib import Path

import pytest

from common.processes import ROOT
from local import __main__ as entry
from local.manifest import model_names
from local.service import LocalService
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


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a run that cannot begin says."""
    assert entry.main(list(arguments)) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_what_is_not_there_is_said_with_what_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(capsys, "--service", "nosuch").startswith(
        "run: SERVICE=nosuch (--service) not found; available: "
    )
    assert run(capsys, "--model", "nosuch=1").startswith(
        "run: model 'nosuch' not found; available: "
    )
    assert run(capsys, "--model", "mnist=77").endswith("; available: 1, 2")
    assert run(capsys, "--model", "mnist") == (
        "run: REVISIONS (--model): expected NAME=REVISION, got 'mnist'"
    )
    assert run(capsys, "--models", str(tmp_path / "none")).endswith("none, is not there")
    assert "revision '3' of fashion-mnist not found" in run(capsys, "--models", str(tmp_path))


def test_a_card_that_cannot_be_used_is_found_before_anything_starts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shutil.copytree(SHIPPED, tmp_path / "models")
    (tmp_path / "models" / "mnist" / "2" / "model.json").write_text("{")
    line = run(capsys, "--models", str(tmp_path / "models"))
    assert line.startswith(f"run: mnist=2: {tmp_path}/models/mnist/2/model.json: document: ")


def test_port_itself_is_named_before_the_one_after_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(capsys, "--port", "80808") == (
        "run: 80808 is not a valid port; choose another with PORT=…"
    )


def test_models_by_name_are_the_manifests_revision_or_the_newest(tmp_path: Path) -> None:
    for name, revision in (("flowers", "1"), ("flowers", "2"), ("mnist", "2"), ("mnist", "7")):
        write_small(tmp_path, name, revision, 0)
    found = entry.named(["flowers", "mnist"], tmp_path)
    assert found == {"flowers": "2", "mnist": "2"}
    assert entry.named(["flowers=1"], tmp_path) == {"flowers": "1"}
    shutil.rmtree(tmp_path / "mnist" / "2")
    assert entry.named(["mnist"], tmp_path) == {"mnist": "7"}
    with pytest.raises(ValueError, match=r"'roses' not found .* available: flowers, "):
        entry.named(["roses"], tmp_path)


def test_models_by_name_are_served_alone(tmp_path: Path) -> None:
    write_small(tmp_path, "flowers", "1", 0)
    service = entry.prepare(options(tmp_path, "flowers"))
    assert isinstance(service, LocalService)
    assert service.revisions == {"flowers": "1"}


def test_a_name_takes_the_service_that_is_made_for_it() -> None:
    assert entry.service_for(["land-cover"]) == "land-cover"
    assert entry.service_for(["land-cover", "mnist"]) == entry.service_for(["flowers"]) == "vision"


def options(root: Path, *names: str) -> argparse.Namespace:
    return argparse.Namespace(
        names=list(names), port=8080, models=root, model=[], service="", name=""
    )
