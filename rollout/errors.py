"""What can go wrong, each kind with the exit status of its own.

RolloutError (Exception)
├── Refused        3  the new revision, its evidence or the deployment is not acceptable
├── Busy           4  another canary is open, or another command is at work
├── Conflict       5  somebody else changed the InferenceService meanwhile
├── StartFailed    6  the new Knative revision did not start; what was there before is back
├── NotRestored    7  what was there before is not wholly back: `rollback` goes on with it
├── Unreachable    8  the API server cannot be reached, or says no
└── Missing        9  there is no such object, model or history entry
"""

from __future__ import annotations

from typing import ClassVar


class RolloutError(Exception):
    """Base of all; the message is for a person."""

    status: ClassVar[int] = 1


class Refused(RolloutError):
    status = 3


class Busy(RolloutError):
    status = 4


class Conflict(RolloutError):
    status = 5


class StartFailed(RolloutError):
    status = 6


class NotRestored(RolloutError):
    status = 7


class Unreachable(RolloutError):
    """The API server's answer was an error; ``code`` is its HTTP status, 0 without one."""

    status = 8

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Missing(RolloutError):
    status = 9
