"""The account for rollouts has the rights that they take, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from typing import NamedTuple

import pytest
import yaml

from rollout.gate_job import MAX_PARTS, map_name
from tests.conftest import ROOT
from tests.rollout.conftest import Shell
from tests.rollout.fake_cluster import Behaviour, FakeCluster
from tests.rollout.fake_gateway import FakeGateway
from tests.rollout.test_run import Gate, gate, gateway, plain, run

__all__ = ["gate", "gateway", "plain"]

ANY = "*"


class Right(NamedTuple):
    resource: str
    verb: str
    name: str


def granted() -> Iterator[Right]:
    path = ROOT / "manifests" / "components" / "rollout" / "rbac.yaml"
    for document in yaml.safe_load_all(path.read_text()):
        if document["kind"] != "Role":
            continue
        for rule in document["rules"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    for name in rule.get("resourceNames", [ANY]):
                        yield Right(resource, verb, name)


PARTS = [map_name("vision-gate", number) for number in range(MAX_PARTS)]
TABLE = {
    Right("inferenceservices", "get", "vision"),
    Right("inferenceservices", "update", "vision"),
    Right("inferenceservices/status", "patch", "vision"),
    Right("configurations", "get", "vision-predictor"),
    Right("routes", "get", "vision-predictor"),
    Right("configmaps", "get", "vision-rollout"),
    Right("configmaps", "update", "vision-rollout"),
    *(Right("configmaps", verb, part) for part in PARTS for verb in ("get", "delete")),
    Right("jobs", "get", "vision-gate"),
    Right("jobs", "delete", "vision-gate"),
    # Kubernetes knows no name when something is created or listed; the others' are made as they
    # come.
    Right("configmaps", "create", ANY),
    Right("jobs", "create", ANY),
    Right("revisions", "get", ANY),
    Right("pods", "list", ANY),
    Right("pods/log", "get", ANY),
    Right("pods/proxy", "get", ANY),
    Right("pods/proxy", "create", ANY),
    Right("events", "list", ANY),
}


def test_the_role_is_this_table() -> None:
    found = list(granted())
    assert set(found) == TABLE
    assert len(found) == len(TABLE)


@pytest.mark.usefixtures("plain")
def test_everything_that_a_rollout_asks_is_granted_and_all_that_is_granted_is_asked(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, gate: Gate
) -> None:
    fake.behaviours["--model=mnist=2"] = Behaviour("crash", log="boom")
    service = ("--service", "vision")
    assert run(shell, *service) == 0, shell.err
    options, shell.extra = shell.extra, []
    assert shell("rollback", *service) == 0, shell.err
    assert shell("canary", "mnist", "2", *service) == 6
    fake.paused.add("_configuration")
    assert shell("canary", "mnist", "3", "--timeout", "5", *service) == 7
    assert shell("history", *service) == 0
    shell.extra = options
    asked = {Right(*found) for found in fake.asked}
    refused = [
        right
        for right in asked
        if not any(right[:2] == g[:2] and fnmatch(right.name, g.name) for g in TABLE)
    ]
    assert refused == []
    # One part of a labelled set stands for all of them.
    used = {(right.resource, right.verb) for right in asked}
    assert used == {(g.resource, g.verb) for g in TABLE}


def test_a_list_that_is_refused_says_what_to_name(shell: Shell, fake: FakeCluster) -> None:
    original = fake._read

    def read(plural: str, name: str, query: dict[str, str]) -> tuple[int, object]:
        if plural == "inferenceservices" and not name:
            return 403, {"message": "inferenceservices is forbidden"}
        return original(plural, name, query)

    fake._read = read  # type: ignore[method-assign]
    assert shell("status") == 8
    assert "inferenceservices is forbidden; name one, SERVICE=…" in shell.err
    assert shell("status", "--service", "vision") == 0
