"""Environments: when one is made anew, and what is said meanwhile."""

from __future__ import annotations

import fcntl
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cli import install as room
from cli.install import ENVIRONMENTS, InstallError, digest, main, pip, stale
from tests.conftest import ROOT


def project() -> dict[str, Any]:
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Names of the environments that were made, without making them."""
    names: list[str] = []

    def install(name: str, venvs: Path, torch_index: str, title: str) -> None:
        python = venvs / name / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()
        (venvs / f"{name}.done").write_text(digest(ENVIRONMENTS[name].files))
        names.append(title)

    monkeypatch.setattr(room, "install", install)
    return names


def test_what_is_there_is_not_made_again(made: list[str], tmp_path: Path) -> None:
    folder = ["--venvs", str(tmp_path)]
    assert main(["transformer", "predictor", *folder]) == 0
    assert made == ["1/2 transformer", "2/2 predictor"]
    assert main(["transformer", "edge", *folder]) == 0
    assert made[2:] == ["1/1 edge"]


def test_what_is_there_waits_for_nobody_and_what_is_not_says_for_whom(
    made: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--venvs", str(tmp_path)]
    assert main(["edge", *folder]) == 0
    with ThreadPoolExecutor(1) as executor:
        with (tmp_path / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert main(["edge", *folder]) == 0
            waiting = executor.submit(main, ["transformer", *folder])
            while "waiting for another installation" not in capsys.readouterr().out:
                time.sleep(0.01)
            assert made == ["1/1 edge"]
        assert waiting.result() == 0
    assert made[1:] == ["1/1 transformer"]


def test_other_pins_make_it_anew_and_other_comments_do_not(
    made: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, venvs = tmp_path / "root", tmp_path / "venvs"
    lock = root / "requirements" / "edge.txt"
    lock.parent.mkdir(parents=True)
    lock.write_text("one==1 \\\n    --hash=sha256:00\n")
    monkeypatch.setattr(room, "ROOT", root)
    assert stale(venvs, "edge")
    main(["edge", "--venvs", str(venvs)])
    assert not stale(venvs, "edge")
    lock.write_text("one==1 \\\n    --hash=sha256:01\n    # via two\n")
    assert not stale(venvs, "edge")
    lock.write_text("one==2 \\\n    --hash=sha256:01\n")
    assert stale(venvs, "edge")


def test_an_environment_of_its_owner_s_is_left_alone(made: list[str], tmp_path: Path) -> None:
    main(["edge", "--venvs", str(tmp_path)])
    (tmp_path / "edge.done").write_text("")
    assert not stale(tmp_path, "edge")


def test_a_folder_that_went_away_is_made_anew(made: list[str], tmp_path: Path) -> None:
    main(["edge", "--venvs", str(tmp_path)])
    (tmp_path / "edge" / "bin" / "python").unlink()
    assert stale(tmp_path, "edge")


def test_a_failure_shows_pip_s_last_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InstallError, match="no/such/file"):
        pip(Path(sys.executable), ["-r", "no/such/file.txt"], "1/1 x", sys.stdout)


def test_a_full_disk_is_found_before_anything_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Usage:
        free = 100e6

    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: Usage)
    assert main(["transformer", "--venvs", str(tmp_path)]) == 1
    assert "not enough disk space: 0.1 GB free, about 0.5 GB needed" in capsys.readouterr().err
    assert not (tmp_path / "transformer").exists()


@pytest.mark.parametrize(("index", "said"), [("", True), ("an index", False)])
def test_the_cuda_build_is_announced_before_it_is_downloaded(
    index: str,
    said: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def failing(*_: object) -> None:
        raise InstallError("stopped by the test")

    made = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(room.subprocess, "run", lambda *_, **__: made)
    monkeypatch.setattr(room, "has_cuda_builds", lambda: True)
    monkeypatch.setattr(room, "pip", failing)
    assert main(["predictor", "--venvs", str(tmp_path), "--torch-index", index]) == 1
    text = capsys.readouterr().out
    assert text.startswith("installing 1/1 predictor, ")
    assert ("CUDA build, about 3 GB to download" in text and "CPU=1" in text) == said


def test_an_optional_one_does_not_hold_the_others_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def failing(name: str, *_: object) -> None:
        asked.append(name)
        raise InstallError("no such package")

    monkeypatch.setattr(room, "install", failing)
    assert main(["bench-kserve", "edge", "--optional", "--venvs", str(tmp_path)]) == 0
    assert asked == ["bench-kserve", "edge"]
    assert "bench-kserve is not installed; the rest goes on without it" in capsys.readouterr().err


def test_torch_is_pinned_once() -> None:
    pins = re.findall(r"^torch==.*$", (ROOT / room.TORCH).read_text(), re.MULTILINE)
    assert pins == project()["optional-dependencies"]["torch"]


def test_every_lock_of_the_project_belongs_to_an_environment_or_an_image() -> None:
    used = {file for environment in ENVIRONMENTS.values() for file in environment.files}
    for path in ROOT.glob("Dockerfile.*"):
        used |= set(re.findall(r"requirements/[a-z-]+\.txt", path.read_text()))
    there = {
        str(path.relative_to(ROOT))
        for folder in ("requirements", "benchmarks/requirements")
        for path in (ROOT / folder).glob("*.txt")
    }
    assert used == there


def test_the_newer_of_two_packages_with_the_same_files_comes_last() -> None:
    """Both have ``opentelemetry/proto``; the older has no scopes of spans."""
    both = [
        name
        for name, environment in ENVIRONMENTS.items()
        if any("\nxds-protos==" in (ROOT / file).read_text() for file in environment.locks)
    ]
    assert both == ["accounts", "training"]
    pin = (ROOT / room.PROTO).read_text().partition("\n    --hash")[0].splitlines()[-1]
    for name in both:
        assert ENVIRONMENTS[name].alone[-1] == room.PROTO
        assert f"\n{pin}\n" in (ROOT / ENVIRONMENTS[name].locks[0]).read_text()


@pytest.mark.parametrize("name", ["transformer", "predictor", "accounts", "edge", "rollout"])
def test_a_lock_has_what_its_extra_names(name: str) -> None:
    lock = (ROOT / "requirements" / f"{name}.txt").read_text().lower()
    for requirement in project()["optional-dependencies"][name]:
        package = re.split(r"[<>=!\[]", requirement)[0].lower()
        assert re.search(rf"^{package}(\[[^]]*\])?==", lock, re.MULTILINE), f"make lock: {package}"
