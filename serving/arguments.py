"""Command-line arguments of both servers, on top of KServe's own.

Every one of KServe's either works or is refused by its name: ``FLAGS`` says which, and a test holds
it beside KServe's parser, so that a flag of an upgrade has to be decided on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from kserve.model_server import parser as kserve_parser

WORKS = "works"
OF_THE_TRANSFORMER = "works for the transformer, refused for the predictor"
TOLERATED = "names the model of --model=/folder; KServe gives it to every transformer besides"

FLAGS: dict[str, str] = {
    "http_port": WORKS,
    "grpc_port": WORKS,
    "workers": "there is one process per pod, and the cluster has replicas; say --workers=1",
    "max_threads": WORKS,
    "max_asyncio_workers": WORKS,
    "enable_grpc": WORKS,
    "enable_docs_url": WORKS,
    "enable_latency_logging": WORKS,
    "configure_logging": WORKS,
    "log_config_file": WORKS,
    "access_log_format": "set VISION_ACCESS_LOG=true for a line of JSON per request",
    "event_loop": WORKS,
    "timeout_keep_alive": WORKS,
    "model_name": TOLERATED,
    "predictor_host": OF_THE_TRANSFORMER,
    "protocol": "KServe itself has replaced it by --predictor_protocol",
    "predictor_protocol": "tensors travel to the predictor in v2's binary form; say v2",
    "predictor_use_ssl": OF_THE_TRANSFORMER,
    "predictor_request_timeout_seconds": OF_THE_TRANSFORMER,
    "predictor_request_retries": OF_THE_TRANSFORMER,
    "enable_predictor_health_check": OF_THE_TRANSFORMER,
    "grpc_max_send_message_length": WORKS,
    "grpc_max_receive_message_length": WORKS,
    "ssl_certfile": WORKS,
    "ssl_keyfile": WORKS,
}
"""KServe's arguments by name; the value of one that is refused says why, or what to do."""

DEFAULTS: dict[str, object] = {
    "enable_grpc": False,
    "enable_latency_logging": False,
    "model_name": None,
    "predictor_protocol": None,
    "protocol": None,
    "predictor_host": None,
    "predictor_use_ssl": None,
    "predictor_request_timeout_seconds": None,
    "predictor_request_retries": None,
    "enable_predictor_health_check": None,
}
"""Where they are not KServe's; None where it matters whether the argument was given."""

ALLOWED = {"workers": (1,), "predictor_protocol": (None, "v2")}
"""Values of arguments that are refused with any other."""


class ArgumentError(ValueError):
    """An argument that cannot be used; names it."""


@dataclass(frozen=True)
class ModelSelection:
    """What one ``--model`` asks for.

    Attributes:
        name: of the model; empty where a folder says it: ``--model=/a/folder``.
        selector: of ``--model=NAME=REVISION`` or ``--model=NAME=/a/folder``, or the folder alone.
    """

    name: str
    selector: str | None


def server_arguments(program: str, description: str) -> argparse.ArgumentParser:
    """A parser with KServe's arguments and a repeatable ``--model``."""
    parser = argparse.ArgumentParser(
        prog=program, description=description, parents=[kserve_parser], conflict_handler="resolve"
    )
    parser.add_argument("--model", action="append", dest="models", type=_selection, metavar="MODEL")
    return parser


def read_arguments(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None = None,
    *,
    transformer: bool = False,
) -> argparse.Namespace:
    """The arguments of one server.

    Args:
        arguments: those of the command line where none are given.
        transformer: whose they are; else the predictor's.

    Raises:
        ArgumentError: one is refused.
    """
    options = parser.parse_args(arguments, argparse.Namespace(**DEFAULTS))
    for name, treatment in FLAGS.items():
        value = getattr(options, name)
        if treatment == OF_THE_TRANSFORMER:
            if value is not None and not transformer:
                raise ArgumentError(f"--{name} is the transformer's")
        elif treatment not in (WORKS, TOLERATED) and value not in ALLOWED.get(name, (None,)):
            raise ArgumentError(f"--{name}={value} is refused: {treatment}")
    if bool(options.ssl_certfile) != bool(options.ssl_keyfile):
        given, missing = "ssl_certfile", "ssl_keyfile"
        if options.ssl_keyfile:
            given, missing = missing, given
        raise ArgumentError(f"--{given} needs --{missing}")
    _refuse_repeats(options.models or [])
    return options


def _selection(text: str) -> ModelSelection:
    if text.startswith("/"):
        return ModelSelection("", text)
    name, separator, selector = text.partition("=")
    if not name or (separator and not selector):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither NAME nor NAME=REVISION nor NAME=/folder nor /folder"
        )
    return ModelSelection(name, selector or None)


def _refuse_repeats(selections: list[ModelSelection]) -> None:
    """Two revisions of one model in one process would share its URL."""
    names = [selection.name or selection.selector for selection in selections]
    for name in names:
        if names.count(name) > 1:
            raise ArgumentError(
                f"--model={name} is given {names.count(name)} times; once is the rule"
            )
