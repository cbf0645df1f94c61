from __future__ import annotations

from common.routes import REQUEST_ID
from transformer.gathering import SURE_CALLS, Gathering, headers_of_all

ONE, TWO = "sha256:one", "sha256:two"


def test_a_canary_is_assumed_until_one_artefact_has_answered_for_long() -> None:
    gathering = Gathering(32, 8 << 20)
    for _ in range(SURE_CALLS):
        assert gathering.limits.requests == 2
        gathering.saw(ONE)
    assert gathering.limits.requests == 32
    assert gathering.limits.instances == 32


def test_one_answer_of_another_artefact_is_enough() -> None:
    gathering = Gathering(32, 8 << 20)
    for _ in range(SURE_CALLS):
        gathering.saw(ONE)
    gathering.saw(TWO)
    assert gathering.limits.requests == 2
    for _ in range(SURE_CALLS):
        assert gathering.limits.requests == 2
        gathering.saw(ONE)
    assert gathering.limits.requests == 32


def test_a_call_fits_into_a_message() -> None:
    gathering = Gathering(32, 1 << 20)
    assert gathering.limits.size_bytes < 1 << 20
    for _ in range(SURE_CALLS):
        gathering.saw(ONE)
    assert gathering.limits.size_bytes < 1 << 20


def test_gathering_can_be_off() -> None:
    gathering = Gathering(1, 8 << 20)
    assert gathering.limits.requests == 1
    for _ in range(SURE_CALLS):
        gathering.saw(ONE)
    assert gathering.limits.requests == 1


def test_a_single_requests_headers_go_on_as_they_are() -> None:
    headers = {"x-request-id": "a", "traceparent": "00-1-2-01"}
    assert headers_of_all([headers]) == headers


def test_of_several_requests_the_first_ids_go_on() -> None:
    headers = [{"x-request-id": str(n), "traceparent": "00-1-2-01"} for n in range(20)]
    assert headers_of_all(headers) == {"x-request-id": ",".join(str(n) for n in range(20))}
    headers = [{"x-request-id": f"{n:036}"} for n in range(20)]
    (named,) = headers_of_all(headers).values()
    assert named == ",".join(f"{n:036}" for n in range(3))
    assert REQUEST_ID.fullmatch(named), "the predictor takes it as it is"
    assert headers_of_all([{}, {}]) == {"x-request-id": ""}
