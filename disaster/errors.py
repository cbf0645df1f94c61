"""Errors of backups.

DisasterError (RuntimeError)
├── BackupNotFoundError    there is no such backup
├── DamagedBackupError     bytes are missing, or are not those that the backup names
├── NotEmptyError          something else is where a backup was to be restored to
├── SealError              a key is missing, is none, or is another one
├── DrillError             what was restored is not what was there
└── NotInstalledError      a drill needs a server that is not there
"""

from __future__ import annotations

from typing import ClassVar


class DisasterError(RuntimeError):
    """Any fault of a backup; the message can be shown to a person.

    Attributes:
        status: exit status of a command that ends by it.
    """

    status: ClassVar[int] = 1


class BackupNotFoundError(DisasterError):
    status = 4


class DamagedBackupError(DisasterError):
    status = 6


class NotEmptyError(DisasterError):
    status = 3


class SealError(DisasterError):
    status = 3


class DrillError(DisasterError):
    status = 7


class NotInstalledError(DisasterError):
    status = 1
