"""What can go wrong, each kind with the exit status of its own.

RolloutError (Exception)
├── RefusedError        3  the new revision, its evidence or the deployment is not acceptable
├── BusyError           4  another canary is open, or another command is at work
├── ConflictError       5  somebody else changed the InferenceService meanwhile
├── StartFailedError    6  the new Knative revision did not start; what was there before is back
├── NotRestoredError    7  what was there before is not wholly back: `rollback` goes on with it
├── UnreachableError    8  the API server cannot be reached, or says no
└── NotFoundError        9  there is no such object, model or history entry
"""

from __future__ import annotations

from typing import ClassVar


class RolloutError(Exception):
    """Base of all; the message is for a person."""

    status: ClassVar[int] = 1


class RefusedError(RolloutError):
    status = 3


class BusyError(RolloutError):
    status = 4


class ConflictError(RolloutError):
    status = 5


class StartFailedError(RolloutError):
    status = 6


class NotRestoredError(RolloutError):
    status = 7


class UnreachableError(RolloutError):
    """The API server's answer was an error; ``code`` is its HTTP status, 0 without one."""

    status = 8

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class NotFoundError(RolloutError):
    status = 9
