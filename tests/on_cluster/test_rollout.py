"""Canary, promotion, rollback and unattended rollouts on a real cluster, under a steady load."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from artifact import open_revision
from rollout.labelled import LabelledSet
from rollout.traffic import Answer, LabelledTraffic
from tests.on_cluster.conftest import BROKEN, MODEL, RUINED, SLACK, Deployment, Load, Shell

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]

CALLS = 2000
CYCLES = int(os.environ.get("CYCLES") or 2)


def test_both_models_answer_with_label_and_revision(
    shell: Shell, deployment: Deployment, questions: LabelledSet, cards: Path
) -> None:
    shell.tell(f"ready {deployment.ready_seconds:.1f} s after it was applied")
    for model in (MODEL, "mnist"):
        contract = open_revision(cards, model, "1").card.contract
        traffic = LabelledTraffic(deployment.url, deployment.gateway, model, questions, contract)
        (answer,) = traffic.send(1)
        traffic.close()
        assert (answer.status, answer.revision) == (200, "1")
        assert answer.digest == open_revision(cards, model, "1").digest


def test_pods_go_to_zero_and_come_back(
    shell: Shell, deployment: Deployment, questions: LabelledSet, cards: Path
) -> None:
    until = time.monotonic() + 600
    while deployment.pods("predictor") or deployment.pods("transformer"):
        assert time.monotonic() < until, "still pods after ten minutes"
        time.sleep(2.0)
    contract = open_revision(cards, MODEL, "1").card.contract
    traffic = LabelledTraffic(deployment.url, deployment.gateway, MODEL, questions, contract)
    sent = datetime.now(timezone.utc)
    (answer,) = traffic.send(1)
    traffic.close()
    shell.tell(f"first answer from zero after {answer.seconds:.1f} s")
    for component in ("transformer", "predictor"):
        (pod,) = deployment.pods(component)
        shell.tell(f"{component}: {wake_of(pod, sent)}")
    assert answer.status == 200
    assert answer.seconds < 60


def wake_of(pod: dict[str, Any], sent: datetime) -> str:
    """What the wake of a pod consists of; Kubernetes keeps these times to the second."""
    containers = {c["name"]: c["state"] for c in pod["status"]["containerStatuses"]}
    stamps = {
        "made": pod["metadata"]["creationTimestamp"],
        "container started": containers["kserve-container"]["running"]["startedAt"],
    }
    # A whole second in a stamp may be up to one later in truth: half of it is the best guess.
    after = {
        what: (datetime.fromisoformat(stamp.replace("Z", "+00:00")) - sent).total_seconds() + 0.5
        for what, stamp in stamps.items()
    }
    return ", ".join(f"{what} {seconds:.1f} s" for what, seconds in after.items()) + " (± 0.5 s)"


def test_the_split_is_as_asked_and_nothing_is_lost(settled: Shell, load_of: Load) -> None:
    shell = settled
    with load_of as load:
        load.wait(50)
        assert shell("canary", MODEL, "2", "--traffic", "10") == 0, shell.err
        shares(shell, load.wait(CALLS), {"1": 0.90, "2": 0.10})
        status = shell.json("status")
        assert {row["role"]: row["percent"] for row in status["rows"]} == {
            "stable": 90,
            "canary": 10,
        }
        assert shell("canary", "mnist", "1") == 4
        assert shell("canary", MODEL, "2", "--traffic", "50") == 0, shell.err
        shares(shell, load.wait(CALLS), {"1": 0.50, "2": 0.50})
        assert shell("promote") == 0, shell.err
        shares(shell, load.wait(CALLS), {"2": 1.0})
        assert shell("rollback") == 0, shell.err
        shares(shell, load.wait(CALLS), {"1": 1.0})
    shell.tell(f"{len(load.answers)} calls, {sum(load.failures().values())} failed")


def test_a_revision_that_does_not_load_harms_nobody(settled: Shell, load_of: Load) -> None:
    shell = settled
    with load_of as load:
        load.wait(50)
        assert shell("canary", MODEL, BROKEN) == 6
        load.wait(50)
    # Torch says what does not fit; without it, nothing serves a revision that has weights alone.
    assert re.search("the weights do not fit the architecture|torch is not installed", shell.err)
    assert {answer.revision for answer in load.answers} == {"1"}
    status = shell.json("status")
    assert status["settled"]
    assert status["models"][MODEL] == "1"


def test_auto_refuses_a_ruined_revision_before_its_first_per_cent(
    settled: Shell, load_of: Load, data: Path, tmp_path: Path
) -> None:
    shell = settled
    load_of.rate = 10.0
    with load_of as load:
        load.wait(20)
        assert auto(shell, load, RUINED, data, tmp_path) == 3, shell.err
        load.wait(20)
    assert "at the gate, before the first per cent" in shell.err
    assert {answer.revision for answer in load.answers} == {"1"}
    assert shell.json("status")["settled"]


def test_auto_promotes_a_better_revision(
    settled: Shell, load_of: Load, data: Path, tmp_path: Path
) -> None:
    shell = settled
    load_of.rate = 10.0
    with load_of as load:
        load.wait(20)
        assert auto(shell, load, "2", data, tmp_path) == 0, shell.err
        shares(shell, load.wait(50), {"2": 1.0})
    (report,) = tmp_path.glob("*/report.json")
    found = json.loads(report.read_text())
    shell.tell(found["reason"])
    assert [interval["percent"] for interval in found["intervals"]] == [5, 25, 50, 100]
    assert shell.json("status")["models"][MODEL] == "2"


def test_stable_and_latest_are_what_status_says_time_after_time(settled: Shell) -> None:
    """``CYCLES=50`` for the proof; every cycle is a canary, a promotion and a rollback."""
    shell = settled
    for cycle in range(CYCLES):
        started = time.monotonic()
        assert shell("canary", MODEL, "2", "--traffic", "20") == 0, shell.err
        opened = shell.json("status")
        rows = {row["role"]: row for row in opened["rows"]}
        assert (rows["stable"]["percent"], rows["canary"]["percent"]) == (80, 20)
        assert rows["stable"]["models"][MODEL] == "1"
        assert rows["canary"]["models"][MODEL] == "2"
        assert rows["stable"]["knative_revision"] == opened["stable"]
        assert rows["canary"]["knative_revision"] == opened["latest"]

        assert shell("promote") == 0, shell.err
        promoted = shell.json("status")
        assert promoted["settled"]
        assert promoted["stable"] == promoted["latest"] == opened["latest"]
        assert promoted["models"][MODEL] == "2"

        assert shell("rollback") == 0, shell.err
        back = shell.json("status")
        assert back["settled"]
        assert back["stable"] == back["latest"] != promoted["stable"]
        assert back["models"][MODEL] == "1"
        shell.tell(f"cycle {cycle + 1}: {time.monotonic() - started:.0f} s")


def auto(shell: Shell, load: Load, revision: str, data: Path, report: Path) -> int:
    return shell(
        "rollout",
        MODEL,
        revision,
        *("--data", str(data), "--images", "300", "--gateway", load.deployment.gateway),
        *("--interval-seconds", "15", "--interval-requests", "30", "--report", str(report)),
        *("--latency-slack-seconds", SLACK),
    )


def shares(shell: Shell, answers: list[Answer], wanted: dict[str, float]) -> None:
    """The share of every revision, within three points."""
    found = Counter(answer.revision for answer in answers)
    parts = ", ".join(f"revision {r}: {n / len(answers):.1%}" for r, n in sorted(found.items()))
    shell.tell(f"of {len(answers)} calls {parts}")
    assert set(found) == set(wanted)
    for revision, share in wanted.items():
        assert found[revision] / len(answers) == pytest.approx(share, abs=0.03)
