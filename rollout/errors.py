"""What can go wrong, each kind with the exit status of its own.

RolloutError (Exception)
├── RefusedError        3  the new revision, its evidence or the deployment is not acceptable
├── BusyError           4  another canary, another command or an experiment is in the way
├── ConflictError       5  somebody else changed the InferenceService meanwhile
├── StartFailedError    6  the new Knative revision did not start; what was there before is back
├── NotRestoredError    7  what was there before is not wholly back: `rollback` goes on with it
├── UnreachableError    8  the public URL or a pod does not answer as it should
└── NotFoundError       9  there is no such model, revision file or history entry

Failures of the API server are ``common.kubernetes.KubernetesError`` and have the statuses of the
last two.
"""

from __future__ import annotations

from typing import ClassVar


class RolloutError(Exception):
    """Base of all; the message is for a person.

    ``meaning`` is printed with the exit status, which make hides.
    """

    status: ClassVar[int] = 1
    meaning: ClassVar[str] = "failed"


class RefusedError(RolloutError):
    status = 3
    meaning = "refused; what ran before runs"


class BusyError(RolloutError):
    status = 4
    meaning = "another change, command or experiment is in the way; the message says which"


class ConflictError(RolloutError):
    status = 5
    meaning = "somebody else changed the InferenceService; nothing more was done"


class StartFailedError(RolloutError):
    status = 6
    meaning = "the new revision did not start; the spec and split from before are back"


class NotRestoredError(RolloutError):
    status = 7
    meaning = "rollback incomplete; `make rollback` goes on when the cause is gone"


class UnreachableError(RolloutError):
    status = 8
    meaning = "the API server or the public URL does not answer as it should"


class NotFoundError(RolloutError):
    status = 9
    meaning = "no such InferenceService, model, canary, file or history entry"
