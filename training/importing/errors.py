"""Errors of an import.

ImportRefusedError       what was given cannot be imported; the message says what to do about it
└── RecipeUnknownError   nobody says how a picture becomes the network's tensor
SandboxError             the process that opens what was given cannot be confined, or went wrong
"""

from __future__ import annotations

import re

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""That PyTorch's exporter puts into its messages, for terminals."""


class ImportRefusedError(ValueError):
    pass


class RecipeUnknownError(ImportRefusedError):
    pass


class SandboxError(RuntimeError):
    pass


def first_line(error: BaseException) -> str:
    """What another package's error says, in one line."""
    lines = COLOURS.sub("", str(error)).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
