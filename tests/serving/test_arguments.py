from __future__ import annotations

import pytest

from serving.arguments import ModelSelection, refuse_repeats, server_arguments


def parse(*arguments: str) -> list[ModelSelection] | None:
    parser = server_arguments("python -m x", "text")
    selections: list[ModelSelection] | None = parser.parse_known_args(list(arguments))[0].models
    return selections


def test_models_are_selected_by_a_repeatable_argument() -> None:
    assert parse("--model=mnist", "--model=fashion-mnist=2", "--model", "a=/mnt/models/x=y") == [
        ModelSelection("mnist", None),
        ModelSelection("fashion-mnist", "2"),
        ModelSelection("a", "/mnt/models/x=y"),
    ]


def test_no_selection_is_left_to_the_server() -> None:
    assert parse() is None


@pytest.mark.parametrize("text", ["", "=2", "mnist="])
def test_half_a_selection_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(f"--model={text}")
    assert "neither NAME nor NAME=REVISION nor NAME=/folder" in capsys.readouterr().err


def test_kserves_own_arguments_are_kept() -> None:
    options = server_arguments("x", "y").parse_args(["--http_port=1234", "--grpc_port=1235"])
    assert (options.http_port, options.grpc_port) == (1234, 1235)


def test_two_revisions_of_one_model_are_refused() -> None:
    one, two = ModelSelection("mnist", "1"), ModelSelection("mnist", "2")
    refuse_repeats([one, ModelSelection("fashion-mnist", "1")])
    with pytest.raises(ValueError, match="--model=mnist is given 2 times"):
        refuse_repeats([one, two])
