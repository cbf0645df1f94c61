"""One command for everything, and make's targets are its aliases."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.__main__ import installed, main
from cli.commands import COMMANDS
from tests.conftest import ROOT


def dry_run(target: str) -> str:
    """What make would run."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "--dry-run", target, "MODEL=mnist", "REVISION=2", "IMAGE=an image.png"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert "usage: " in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_a_target_of_make_is_an_alias(name: str) -> None:
    targets = {"serve": "run", "accounts": ""}
    target = targets.get(name, name)
    if target:
        assert re.search(rf"bin/python -m cli {name} ", dry_run(target).replace("\n", " "))


def test_paths_with_spaces_reach_the_command() -> None:
    assert "'an image.png'" in dry_run("predict")


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.about)}$", text, re.MULTILINE)


def test_help_needs_no_package_at_all() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "cli", "--help"], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serv"])
    assert ended.value.code == 2
    assert "invalid choice: 'serv'" in capsys.readouterr().err


def test_what_is_not_installed_is_named_with_the_way_to_install_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "cli", "status"],
        cwd=ROOT,
        env={**os.environ, "VENVS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "is not installed; try: pip install -e" in done.stderr
    assert "[transformer,rollout]" in done.stderr


def test_make_s_environment_is_used_where_it_is(tmp_path: Path) -> None:
    python = tmp_path / "training" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    variables = {"VENVS": str(tmp_path)}
    assert installed("training", variables) == python
    assert installed("rollout", variables) is None


def test_a_fault_of_our_own_is_not_called_a_missing_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(name: str) -> None:
        raise ModuleNotFoundError("no such module: client.nowhere", name="client.nowhere")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError):
        main(["predict", "x.png"])


def test_sigterm_ends_a_command_as_ctrl_c_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import signal

    from client import predict

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(predict, "main", lambda arguments: os.kill(os.getpid(), signal.SIGTERM))
    try:
        assert main(["predict", "x.png"]) == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "predict: interrupted" in capsys.readouterr().err
