"""Errors that a client may see; each owns its HTTP and its gRPC status.

ServingError
├── MalformedRequestError     400 INVALID_ARGUMENT    not JSON, not base64, a damaged image
│   ├── LateOfferError        400 INVALID_ARGUMENT    Upgrade, not in the first request
│   └── ContractRefusedError  400 INVALID_ARGUMENT    a tensor outside the contract
│       └── ContractMismatchError  400 INVALID_ARGUMENT  a tensor made after another contract
├── ForbiddenError            403 PERMISSION_DENIED   an endpoint that is closed
├── ModelNotFoundError        404 NOT_FOUND
├── NotFoundError             404 NOT_FOUND           no such URL
├── MethodNotAllowedError     405 UNIMPLEMENTED
├── NotAcceptableError        406 INVALID_ARGUMENT    no type of answer that is accepted
├── RequestTimeoutError       408 DEADLINE_EXCEEDED   the body did not arrive in time
├── RequestIdReusedError      409 ALREADY_EXISTS      an id that belongs to another content
├── TooLargeError             413 INVALID_ARGUMENT    bytes, pixels or instances over a limit
├── UnsupportedMediaError     415 INVALID_ARGUMENT    a content or image type that is not read
│   └── UnsupportedCodingError 415 INVALID_ARGUMENT   a content encoding that is not read
├── InvalidRequestError       422 INVALID_ARGUMENT    well-formed, but of the wrong shape
├── OverloadedError           429 RESOURCE_EXHAUSTED
├── HeadTooLargeError         431 INVALID_ARGUMENT    the request's header fields
├── InternalError             500 INTERNAL            a fault of ours; says nothing about it
├── UnsupportedError          501 UNIMPLEMENTED
├── BadPredictorAnswerError   502 INTERNAL            the predictor answered nonsense
├── UnavailableError          503 UNAVAILABLE         not ready, draining, predictor gone
└── DeadlineExceededError     504 DEADLINE_EXCEEDED   the predictor did not answer in time

The message of an unexpected exception never reaches a client: it becomes ``InternalError``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from grpc import StatusCode

ERROR_CODE = "x-error-code"
"""HTTP header and gRPC trailing metadata that mark an error text as ours and name its code."""


IGNORES_OFFERS = "ignores-offers"
"""In the state of an ASGI scope: whether the connection's parser ignores offers to upgrade."""


class ServingError(Exception):
    """Base of all errors that are rendered to clients.

    Args:
        message: for people; must not hold internal addresses.
        instance: index of the instance at fault, where one is.
        code: stable and for programs; the class's own unless given.
        reason: that it is counted by, where that is more than the code says.
    """

    status: ClassVar[int] = 500
    grpc_status: ClassVar[StatusCode] = StatusCode.INTERNAL
    code: ClassVar[str] = "internal"
    retry_after_seconds: ClassVar[int | None] = None

    def __init__(
        self,
        message: str,
        *,
        instance: int | None = None,
        code: str | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.instance = instance
        self.error_code = code or type(self).code
        self.reason = reason or self.error_code

    def headers(self) -> dict[str, str]:
        """HTTP headers that go with the status."""
        if self.retry_after_seconds is None:
            return {ERROR_CODE: self.error_code}
        return {ERROR_CODE: self.error_code, "retry-after": str(self.retry_after_seconds)}

    def as_json(self) -> dict[str, Any]:
        """The one shape of every error body."""
        document: dict[str, Any] = {"error": self.message, "code": self.error_code}
        if self.instance is not None:
            document["instance"] = self.instance
        return document


class MalformedRequestError(ServingError):
    status = 400
    grpc_status = StatusCode.INVALID_ARGUMENT
    code = "malformed_request"


class LateOfferError(MalformedRequestError):
    """An offer to upgrade that is not in a connection's first request.

    Its body is lost to the parser, and what comes of it next would be read as another request.
    """

    code = "late_upgrade"

    def headers(self) -> dict[str, str]:
        return {**super().headers(), "connection": "close"}


class ContractRefusedError(MalformedRequestError):
    code = "contract_refused"


class ContractMismatchError(ContractRefusedError):
    code = "contract_mismatch"


class ForbiddenError(ServingError):
    status = 403
    grpc_status = StatusCode.PERMISSION_DENIED
    code = "forbidden"


class ModelNotFoundError(ServingError):
    status = 404
    grpc_status = StatusCode.NOT_FOUND
    code = "unknown_model"

    @classmethod
    def named(cls, name: str, models: Iterable[str]) -> ModelNotFoundError:
        """The error for a model that is not among those that there are."""
        return cls(f"model {name!r} not found; available: {', '.join(sorted(models))}")


class NotFoundError(ServingError):
    status = 404
    grpc_status = StatusCode.NOT_FOUND
    code = "not_found"


class MethodNotAllowedError(ServingError):
    """Names the methods that are allowed, as RFC 9110 section 15.5.6 asks."""

    status = 405
    grpc_status = StatusCode.UNIMPLEMENTED
    code = "method_not_allowed"

    def __init__(
        self, message: str, *, instance: int | None = None, code: str | None = None, allow: str = ""
    ) -> None:
        super().__init__(message, instance=instance, code=code)
        self.allow = allow

    def headers(self) -> dict[str, str]:
        return {**super().headers(), "allow": self.allow}


class NotAcceptableError(ServingError):
    status = 406
    grpc_status = StatusCode.INVALID_ARGUMENT
    code = "not_acceptable"


class RequestTimeoutError(ServingError):
    status = 408
    grpc_status = StatusCode.DEADLINE_EXCEEDED
    code = "request_timeout"

    def headers(self) -> dict[str, str]:
        # What is left of the body would be taken for the next request.
        return {**super().headers(), "connection": "close"}


class RequestIdReusedError(ServingError):
    status = 409
    grpc_status = StatusCode.ALREADY_EXISTS
    code = "request_id_reused"


class TooLargeError(ServingError):
    status = 413
    grpc_status = StatusCode.INVALID_ARGUMENT
    code = "too_large"


class UnsupportedMediaError(ServingError):
    status = 415
    grpc_status = StatusCode.INVALID_ARGUMENT
    code = "unsupported_media_type"


class UnsupportedCodingError(UnsupportedMediaError):
    """Names the codings that are read, as RFC 9110 section 15.5.16 asks."""

    code = "unsupported_coding"

    def headers(self) -> dict[str, str]:
        return {**super().headers(), "accept-encoding": "gzip"}


class InvalidRequestError(ServingError):
    status = 422
    grpc_status = StatusCode.INVALID_ARGUMENT
    code = "invalid_request"


class OverloadedError(ServingError):
    status = 429
    grpc_status = StatusCode.RESOURCE_EXHAUSTED
    code = "overloaded"
    retry_after_seconds = 1


class HeadTooLargeError(ServingError):
    status = 431
    grpc_status = StatusCode.INVALID_ARGUMENT
    code = "head_too_large"


class InternalError(ServingError):
    def __init__(self) -> None:
        super().__init__("internal error; the server's log has the cause under the request id")


class UnsupportedError(ServingError):
    status = 501
    grpc_status = StatusCode.UNIMPLEMENTED
    code = "unsupported"


class BadPredictorAnswerError(ServingError):
    status = 502
    code = "bad_predictor_answer"


class UnavailableError(ServingError):
    status = 503
    grpc_status = StatusCode.UNAVAILABLE
    code = "unavailable"
    retry_after_seconds = 1


class DeadlineExceededError(ServingError):
    status = 504
    grpc_status = StatusCode.DEADLINE_EXCEEDED
    code = "deadline_exceeded"
