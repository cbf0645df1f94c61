from __future__ import annotations

from serving.scheduling.policy import SURE_CALLS, BatchPolicy

ONE, TWO = "sha256:one", "sha256:two"


def test_a_canary_is_assumed_until_one_artefact_has_answered_for_long() -> None:
    policy = BatchPolicy(32, 0.02, 8 << 20)
    for _ in range(SURE_CALLS):
        assert policy.limits.requests == 2
        policy.observe(ONE)
    assert policy.limits.requests == 32
    assert policy.limits.instances == 32


def test_one_answer_of_another_artefact_is_enough() -> None:
    policy = BatchPolicy(32, 0.02, 8 << 20)
    for _ in range(SURE_CALLS):
        policy.observe(ONE)
    policy.observe(TWO)
    assert policy.limits.requests == 2
    for _ in range(SURE_CALLS):
        assert policy.limits.requests == 2
        policy.observe(ONE)
    assert policy.limits.requests == 32


def test_a_call_fits_into_a_message() -> None:
    policy = BatchPolicy(32, 0.02, 1 << 20)
    assert policy.limits.size_bytes < 1 << 20
    for _ in range(SURE_CALLS):
        policy.observe(ONE)
    assert policy.limits.size_bytes < 1 << 20


def test_sharing_can_be_off() -> None:
    policy = BatchPolicy(1, 0.02, 8 << 20)
    assert policy.limits.requests == 1
    for _ in range(SURE_CALLS):
        policy.observe(ONE)
    assert policy.limits.requests == 1


def test_the_delay_is_the_settings() -> None:
    policy = BatchPolicy(32, 0.5, 8 << 20)
    for _ in range(SURE_CALLS):
        policy.observe(ONE)
    assert policy.limits.max_delay_seconds == 0.5


def test_no_more_instances_share_a_call_than_are_computed_together() -> None:
    policy = BatchPolicy(32, 0.02, 8 << 20)
    policy.observe(ONE, 1)
    assert (policy.limits.requests, policy.limits.instances) == (1, 1)
    for _ in range(SURE_CALLS):
        policy.observe(ONE, 3)
    assert (policy.limits.requests, policy.limits.instances) == (3, 3)
    assert policy.limits.max_delay_seconds == 0.02
    policy.observe(ONE, 1 << 40)
    assert policy.limits.instances == 32


def test_who_does_not_say_what_it_computes_together_gets_full_calls() -> None:
    policy = BatchPolicy(32, 0.02, 8 << 20)
    policy.observe(ONE, 2)
    for _ in range(SURE_CALLS):
        policy.observe(ONE)
    assert policy.limits.instances == 32
