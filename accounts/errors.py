"""Errors that a person may see; each owns its HTTP status.

AccountsError
├── InvalidValueError      400   a value that cannot be taken; names the field
├── NotLoggedInError       401
├── UnknownKeyError        401   no API key, or none that works
├── WrongLoginError        401   says the same whatever was wrong
├── ForbiddenError         403
├── NotFoundError          404   also for what belongs to somebody else
├── ConflictError          409
├── GoneError              410   was kept, and is not any more
├── TooManyAttemptsError   429   with Retry-After
└── BusyError              503   with Retry-After
"""

from __future__ import annotations

from typing import Any, ClassVar


class AccountsError(Exception):
    """Base of all errors that are rendered.

    Args:
        message: for people.
        field: the form field at fault, where one is.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field

    def __str__(self) -> str:
        return self.message

    def headers(self) -> dict[str, str]:
        return {}

    def as_json(self) -> dict[str, Any]:
        """The one shape of every error body, that of the model servers too."""
        document: dict[str, Any] = {"error": self.message, "code": self.code}
        if self.field is not None:
            document["field"] = self.field
        return document


class InvalidValueError(AccountsError):
    status = 400
    code = "refused"


class NotLoggedInError(AccountsError):
    status = 401
    code = "not_logged_in"

    def __init__(self, message: str = "log in first") -> None:
        super().__init__(message)


class UnknownKeyError(AccountsError):
    status = 401
    code = "unauthorized"

    def __init__(self) -> None:
        super().__init__("a working API key is needed: 'authorization: Bearer vk_…'")

    def headers(self) -> dict[str, str]:
        return {"www-authenticate": "Bearer"}


class WrongLoginError(AccountsError):
    status = 401
    code = "wrong_login"

    def __init__(self) -> None:
        super().__init__("the address or the password is wrong, or the address is not verified yet")


class ForbiddenError(AccountsError):
    status = 403
    code = "not_allowed"


class NotFoundError(AccountsError):
    status = 404
    code = "not_found"


class ConflictError(AccountsError):
    status = 409
    code = "conflict"


class GoneError(AccountsError):
    status = 410
    code = "gone"


class TooManyAttemptsError(AccountsError):
    status = 429
    code = "too_many_attempts"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"too many attempts; try again in {retry_after_seconds} seconds")
        self.retry_after_seconds = retry_after_seconds

    def headers(self) -> dict[str, str]:
        return {"retry-after": str(self.retry_after_seconds)}


class BusyError(AccountsError):
    status = 503
    code = "unavailable"

    def __init__(self, message: str = "the service is busy; try again in a moment") -> None:
        super().__init__(message)

    def headers(self) -> dict[str, str]:
        return {"retry-after": "1"}
