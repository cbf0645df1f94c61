from __future__ import annotations

import re

import pytest
from grpc import StatusCode

from serving import errors
from serving.errors import ServingError

PINNED: dict[str, tuple[int, StatusCode, str, int | None]] = {
    "MalformedRequestError": (400, StatusCode.INVALID_ARGUMENT, "malformed_request", None),
    "LateOfferError": (400, StatusCode.INVALID_ARGUMENT, "late_upgrade", None),
    "ContractRefusedError": (400, StatusCode.INVALID_ARGUMENT, "contract_refused", None),
    "ContractMismatchError": (400, StatusCode.INVALID_ARGUMENT, "contract_mismatch", None),
    "ForbiddenError": (403, StatusCode.PERMISSION_DENIED, "forbidden", None),
    "ModelNotFoundError": (404, StatusCode.NOT_FOUND, "unknown_model", None),
    "NotFoundError": (404, StatusCode.NOT_FOUND, "not_found", None),
    "MethodNotAllowedError": (405, StatusCode.UNIMPLEMENTED, "method_not_allowed", None),
    "RequestTimeoutError": (408, StatusCode.DEADLINE_EXCEEDED, "request_timeout", None),
    "RequestIdReusedError": (409, StatusCode.ALREADY_EXISTS, "request_id_reused", None),
    "TooLargeError": (413, StatusCode.INVALID_ARGUMENT, "too_large", None),
    "NotAcceptableError": (406, StatusCode.INVALID_ARGUMENT, "not_acceptable", None),
    "UnsupportedCodingError": (415, StatusCode.INVALID_ARGUMENT, "unsupported_coding", None),
    "UnsupportedMediaError": (415, StatusCode.INVALID_ARGUMENT, "unsupported_media_type", None),
    "InvalidRequestError": (422, StatusCode.INVALID_ARGUMENT, "invalid_request", None),
    "OverloadedError": (429, StatusCode.RESOURCE_EXHAUSTED, "overloaded", 1),
    "HeadTooLargeError": (431, StatusCode.INVALID_ARGUMENT, "head_too_large", None),
    "InternalError": (500, StatusCode.INTERNAL, "internal", None),
    "UnsupportedError": (501, StatusCode.UNIMPLEMENTED, "unsupported", None),
    "BadPredictorAnswerError": (502, StatusCode.INTERNAL, "bad_predictor_answer", None),
    "UnavailableError": (503, StatusCode.UNAVAILABLE, "unavailable", 1),
    "DeadlineExceededError": (504, StatusCode.DEADLINE_EXCEEDED, "deadline_exceeded", None),
}

KINDS: dict[str, type[ServingError]] = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, ServingError) and value is not ServingError
}


def make(kind: type[ServingError]) -> ServingError:
    return errors.InternalError() if kind is errors.InternalError else kind("the reason")


def test_every_class_is_pinned() -> None:
    assert set(KINDS) == set(PINNED)


@pytest.mark.parametrize("name", PINNED)
def test_status_and_code(name: str) -> None:
    error = make(KINDS[name])
    found = (error.status, error.grpc_status, error.error_code, error.retry_after_seconds)
    assert found == PINNED[name]


@pytest.mark.parametrize("name", PINNED)
def test_the_one_shape(name: str) -> None:
    error = make(KINDS[name])
    assert error.as_json() == {"error": error.message, "code": PINNED[name][2]}
    assert str(error) == error.message


@pytest.mark.parametrize("name", sorted(set(PINNED) - {"InternalError"}))
def test_an_instance_at_fault_is_named(name: str) -> None:
    error = KINDS[name]("the reason", instance=0, code="more_precise")
    assert error.as_json() == {"error": "the reason", "code": "more_precise", "instance": 0}
    assert KINDS[name]("again").error_code == PINNED[name][2]


def test_internal_says_nothing_of_the_fault() -> None:
    assert errors.InternalError().as_json() == {
        "error": "internal error; the server's log has the cause under the request id",
        "code": "internal",
    }


def test_the_tree_in_the_docstring_is_the_hierarchy() -> None:
    assert errors.__doc__
    drawn: dict[str, tuple[str, int, str]] = {}
    parents = ["ServingError"]
    for indent, name, status, grpc in re.findall(
        r"^([│ ]*)[├└]── (\w+) +(\d{3}) ([A-Z_]+)", errors.__doc__, re.MULTILINE
    ):
        depth = len(indent) // 4
        parents[depth + 1 :] = [name]
        drawn[name] = (parents[depth], int(status), grpc)
    assert drawn == {
        name: (kind.__mro__[1].__name__, kind.status, kind.grpc_status.name)
        for name, kind in KINDS.items()
    }
