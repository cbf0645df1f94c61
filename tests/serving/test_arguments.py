from __future__ import annotations

import argparse

import pytest
from kserve.model_server import parser as kserve_parser

from serving.arguments import (
    FLAGS,
    OF_THE_TRANSFORMER,
    TOLERATED,
    WORKS,
    ArgumentError,
    ModelSelection,
    read_arguments,
    server_arguments,
)

REFUSED = {
    "workers": "4",
    "access_log_format": "%(h)s",
    "protocol": "v2",
    "predictor_protocol": "grpc-v2",
}
OF_TRANSFORMER = {
    "predictor_host": "h",
    "predictor_use_ssl": "true",
    "predictor_request_timeout_seconds": "5",
    "predictor_request_retries": "1",
    "enable_predictor_health_check": "",
}


def read(*arguments: str, transformer: bool = False) -> argparse.Namespace:
    parser = server_arguments("python -m x", "text")
    return read_arguments(parser, arguments, transformer=transformer)


def given(name: str, value: str) -> str:
    dashed = {"event_loop": "event-loop", "timeout_keep_alive": "timeout-keep-alive"}
    flag = f"--{dashed.get(name, name)}"
    return f"{flag}={value}" if value else flag


def test_every_argument_of_kserves_has_been_decided_on() -> None:
    """An upgrade that brings one more fails here until it works or is refused."""
    found = {action.dest for action in kserve_parser._actions}
    assert found == set(FLAGS)


def test_every_treatment_is_tested() -> None:
    refused = {n for n, how in FLAGS.items() if how not in (WORKS, TOLERATED, OF_THE_TRANSFORMER)}
    assert refused == set(REFUSED)
    assert {n for n, how in FLAGS.items() if how == OF_THE_TRANSFORMER} == set(OF_TRANSFORMER)
    assert [n for n, how in FLAGS.items() if how == TOLERATED] == ["model_name"]


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("transformer", [False, True])
def test_what_has_no_effect_is_refused_by_name(name: str, transformer: bool) -> None:
    with pytest.raises(ArgumentError, match=f"--{name}=.* is refused: "):
        read(given(name, REFUSED[name]), transformer=transformer)


@pytest.mark.parametrize("name", OF_TRANSFORMER)
def test_what_says_where_the_predictor_is_is_the_transformers(name: str) -> None:
    argument = given(name, OF_TRANSFORMER[name])
    assert getattr(read(argument, transformer=True), name) is not None
    with pytest.raises(ArgumentError, match=f"--{name} is the transformer's"):
        read(argument)


def test_what_kserves_controller_gives_is_taken() -> None:
    arguments = ["--model_name", "vision", "--predictor_host", "vision-predictor.vision"]
    options = read(*arguments, "--http_port", "8080", "--workers", "1", transformer=True)
    assert (options.predictor_host, options.http_port) == ("vision-predictor.vision", 8080)


def test_the_protocol_to_the_predictor_may_be_said() -> None:
    assert read("--predictor_protocol=v2", transformer=True).predictor_protocol == "v2"


def test_an_argument_that_nobody_knows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read("--grpc_prot=8081")
    assert "--grpc_prot=8081" in capsys.readouterr().err


def test_grpc_and_latency_logs_are_off_unless_asked_for() -> None:
    options = read()
    assert (options.enable_grpc, options.enable_latency_logging) == (False, False)
    options = read("--enable_grpc=true", "--enable_latency_logging=true")
    assert (options.enable_grpc, options.enable_latency_logging) == (True, True)


@pytest.mark.parametrize("name", ["ssl_certfile", "ssl_keyfile"])
def test_half_of_a_certificate_is_refused(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"--{name} needs --ssl_"):
        read(f"--{name}=/some/file")


def test_models_are_selected_by_a_repeatable_argument() -> None:
    options = read(
        "--model=mnist", "--model=fashion-mnist=2", "--model", "a=/mnt/x=y", "--model=/m=1"
    )
    assert options.models == [
        ModelSelection("mnist", None),
        ModelSelection("fashion-mnist", "2"),
        ModelSelection("a", "/mnt/x=y"),
        ModelSelection("", "/m=1"),
    ]


def test_no_selection_is_left_to_the_server() -> None:
    assert read().models is None


@pytest.mark.parametrize("text", ["", "=2", "mnist="])
def test_half_a_selection_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read(f"--model={text}")
    assert "neither NAME nor NAME=REVISION nor NAME=/folder" in capsys.readouterr().err


def test_two_revisions_of_one_model_are_refused() -> None:
    assert len(read("--model=mnist=1", "--model=fashion-mnist=1").models) == 2
    with pytest.raises(ArgumentError, match="--model=mnist is given 2 times"):
        read("--model=mnist=1", "--model=mnist=2")
