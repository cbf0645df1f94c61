"""Errors of the lifecycle.

LifecycleError (RuntimeError)
├── StoppedError     a run ends here: its part, its evidence or a person refuses it
├── NoSuchRunError   there is no run of that name
├── NeedError        something has to be brought first; the run waits for it
└── DecisionError    nothing is to be decided there, or somebody has decided already
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class LifecycleError(RuntimeError):
    """Any fault of a run; the message can be shown to a person.

    Attributes:
        status: exit status of a command that ends by it.
    """

    status: ClassVar[int] = 1


class StoppedError(LifecycleError):
    """What was found stops the run for good; that is an end like another.

    Args:
        details: kept with the reason.
    """

    status = 3

    def __init__(self, why: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(why)
        self.details = dict(details or {})


class NoSuchRunError(LifecycleError):
    status = 4


class DecisionError(LifecycleError):
    status = 3


class NeedError(LifecycleError):
    status = 4
