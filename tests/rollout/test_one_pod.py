"""One pod of the ServingRuntime `vision`: shown as it is, and changed by hand."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from rollout.one_pod import revision_at
from tests.rollout.conftest import Shell
from tests.rollout.fake_cluster import SERVICE, FakeCluster, merged

URI = "s3://bucket/models/vision/"


@pytest.fixture
def fake(fake: FakeCluster) -> FakeCluster:
    """A service of one pod, which has never had containers of its own."""
    runtime = {"modelFormat": {"name": "vision"}, "storageUri": URI + "3"}
    fake.edit_spec(lambda spec: spec.update(predictor={"minReplicas": 0, "model": runtime}))
    fake.edit_spec(lambda spec: spec.pop("transformer"))
    for _ in range(10):
        fake.tick()
    fake.writes.clear()
    return fake


def follow(fake: FakeCluster, told: str) -> None:
    """Do what a message says: its lines of kubectl."""
    for line in told.splitlines():
        if line.startswith("  kubectl "):
            words = shlex.split(line)
            assert words[1:6] == ["-n", "vision", "patch", "inferenceservice", SERVICE]
            patch: dict[str, Any] = json.loads(words[-1].replace("URI", URI + "3"))

            def change(spec: dict[str, Any], patch: dict[str, Any] = patch) -> None:
                spec["predictor"] = merged(spec["predictor"], patch["spec"]["predictor"])

            fake.edit_spec(change)
            for _ in range(10):
                fake.tick()


def shares(shell: Shell) -> dict[str, tuple[str, int]]:
    rows = shell.json("status")["rows"]
    return {row["models"][SERVICE]: (row["role"], row["percent"]) for row in rows}


def test_what_the_messages_say_is_a_canary_promoted_and_taken_back(
    shell: Shell, fake: FakeCluster
) -> None:
    assert shell("status") == 0, shell.err
    assert "InferenceService vision in namespace vision: vision/3" in shell.out
    assert "settled" in shell.out
    assert shell("canary", SERVICE, "4", "--traffic", "20") == 3
    assert f"is one pod, with the revision at {URI}3" in shell.err
    assert not fake.writes
    follow(fake, shell.err)
    assert shares(shell) == {"3": ("stable", 80), "4": ("canary", 20)}
    assert shell("status") == 0, shell.err
    assert f"a canary of 20 % to {URI}4" in shell.out
    assert shell("promote") == 3
    follow(fake, shell.err)
    assert shares(shell) == {"4": ("stable", 100)}
    assert shell("rollback") == 3
    follow(fake, shell.err)
    assert shares(shell) == {"3": ("stable", 100)}
    assert not fake.record()


def test_a_rollout_says_the_same(shell: Shell, fake: FakeCluster) -> None:
    assert shell("rollout", SERVICE, "4", "--data", "nowhere") == 3
    follow(fake, shell.err)
    assert shares(shell) == {"3": ("stable", 95), "4": ("canary", 5)}


@pytest.mark.parametrize(
    "uri", ["s3://bucket/flowers/3", "pvc://claim/flowers/3/", "oci://registry:5000/flowers:3"]
)
def test_the_revision_at_an_address(uri: str) -> None:
    assert revision_at(uri) == "3"
