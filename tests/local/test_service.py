from __future__ import annotations

import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import local.service as service_module
from common.errors import StartError
from common.ports import require_free
from common.processes import answers
from local.manifest import Component, Ports
from local.service import LocalService, command_line, free_ports, interpreters


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def script(path: Path, text: str) -> dict[str, Path]:
    """Interpreters for both components that run ``text`` in place of Python."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"predictor": path, "transformer": path}


@pytest.mark.parametrize("position", [0, 1])
def test_no_server_starts_beside_a_taken_port(tmp_path: Path, taken: int, position: int) -> None:
    free = free_ports()
    ports = [free.http, free.predictor_http]
    ports[position] = taken
    running = script(tmp_path / "python", "exec sleep 60")
    service = LocalService(Ports(*ports), running, tmp_path)
    name = "transformer" if position == 0 else "predictor"
    with pytest.raises(StartError, match=f"port {taken} is taken"):
        service.start(name)
    assert service.ended() is None


def test_nothing_is_started_where_the_second_cannot_be(tmp_path: Path, taken: int) -> None:
    free = free_ports()
    ports = Ports(taken, free.predictor_http)
    service = LocalService(ports, script(tmp_path / "python", "exec sleep 60"), tmp_path)
    with pytest.raises(StartError, match="is taken"), service:
        pass
    with pytest.raises(KeyError):
        service.pid("predictor")


def test_a_missing_environment_gets_a_plain_message(tmp_path: Path) -> None:
    missing = tmp_path / "venv" / "bin" / "python"
    service = LocalService(free_ports(), {"predictor": missing, "transformer": missing}, tmp_path)
    with pytest.raises(StartError) as caught, service:
        pass
    expected = f"{missing} is missing: the predictor's environment is not installed"
    assert str(caught.value) == f"{expected}; `make run` installs it"


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    dying = script(tmp_path / "python", "echo one; echo two; echo three; echo four >&2; exit 3")
    service = LocalService(free_ports(), dying, tmp_path, log_folder=tmp_path / "logs")
    with pytest.raises(StartError) as caught:
        service.start("predictor")
        service.wait_ready(10)
    service.stop()
    assert str(caught.value) == "the predictor ended with status 3:\n  two\n  three\n  four"
    assert service.ended() == "predictor"


def test_a_server_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    service = LocalService(free_ports(), script(tmp_path / "python", "exec sleep 60"), tmp_path)
    try:
        service.start("predictor")
        with pytest.raises(StartError, match=r"the predictor was not ready within 0 s"):
            service.wait_ready(0.1)
        assert service.ended() is None
    finally:
        service.stop()
    assert service.ended() == "predictor"


def test_a_crash_is_noticed(tmp_path: Path) -> None:
    service = LocalService(free_ports(), script(tmp_path / "python", "exec sleep 60"), tmp_path)
    service.start("predictor")
    service.kill("predictor")
    assert service.ended() == "predictor"
    service.stop()


def test_a_server_gets_the_manifests_arguments_and_environment(tmp_path: Path) -> None:
    ports = free_ports()
    printing = script(
        tmp_path / "python", 'echo "$@"; echo "$VISION_HOST $VISION_MODEL_ROOT $MALLOC_ARENA_MAX"'
    )
    service = LocalService(ports, printing, tmp_path, {"mnist": "2"}, tmp_path / "logs")
    service.start("predictor")
    with pytest.raises(StartError, match="ended with status 0"):
        service.wait_ready(10)
    service.stop()
    arguments, environment = (tmp_path / "logs" / "predictor.log").read_text().splitlines()
    assert arguments.startswith("-m predictor --model=fashion-mnist=3 --model=mnist=2 ")
    assert f"--http_port={ports.predictor_http}" in arguments
    assert "--enable_grpc=false" in arguments
    assert environment == f"127.0.0.1 {tmp_path} 2"


def test_the_command_line_is_the_manifests() -> None:
    component = Component("predictor", ["python", "-m", "predictor"], ["--a=1"], {})
    found = command_line(component, Path("/venv/bin/python"))
    assert found == ["/venv/bin/python", "-m", "predictor", "--a=1"]


def test_urls() -> None:
    service = LocalService(Ports(1, 2), {})
    assert (service.url, service.predictor_url) == ("http://127.0.0.1:1", "http://127.0.0.1:2")


def test_free_ports_are_two_and_free() -> None:
    ports = free_ports()
    numbers = {ports.http, ports.predictor_http}
    assert len(numbers) == 2
    for number in numbers:
        require_free(number)


def test_environments_are_where_make_lays_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VENVS", raising=False)
    monkeypatch.setattr(service_module, "find_spec", lambda name: None)
    assert interpreters(Path("/x"))["predictor"] == Path("/x/.venv/predictor/bin/python")
    monkeypatch.setenv("VENVS", "/venvs")
    assert interpreters() == {
        "predictor": Path("/venvs/predictor/bin/python"),
        "transformer": Path("/venvs/transformer/bin/python"),
    }


def test_one_environment_with_all_that_is_needed_serves_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VENVS", raising=False)
    python = Path(sys.executable)
    assert interpreters(tmp_path) == {"predictor": python, "transformer": python}


def test_nobody_answers_on_a_free_port() -> None:
    assert not answers(f"http://127.0.0.1:{free_ports().http}/v2/health/ready")
