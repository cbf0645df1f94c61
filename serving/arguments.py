"""Command-line arguments of both servers, on top of KServe's own."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from kserve.model_server import parser as kserve_parser


@dataclass(frozen=True)
class ModelSelection:
    """``--model=NAME`` or ``--model=NAME=REVISION`` or ``--model=NAME=/a/folder``."""

    name: str
    selector: str | None


def server_arguments(program: str, description: str) -> argparse.ArgumentParser:
    """A parser with KServe's arguments and a repeatable ``--model``."""
    parser = argparse.ArgumentParser(
        prog=program, description=description, parents=[kserve_parser], conflict_handler="resolve"
    )
    parser.add_argument("--model", action="append", dest="models", type=_selection, metavar="MODEL")
    return parser


def _selection(text: str) -> ModelSelection:
    name, separator, selector = text.partition("=")
    if not name or (separator and not selector):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither NAME nor NAME=REVISION nor NAME=/folder"
        )
    return ModelSelection(name, selector or None)


def refuse_repeats(selections: list[ModelSelection]) -> None:
    """Two revisions of one model in one process would share its URL.

    Raises:
        ValueError: a model is selected twice.
    """
    names = [selection.name for selection in selections]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"--model={name} is given {names.count(name)} times; once is the rule")
