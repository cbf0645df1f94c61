"""What happens behind a rollout on a real cluster, and the way on from it, under a load."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.kubernetes import CONFIG_MAP
from rollout.__main__ import main
from rollout.inferenceservice import with_revision
from tests.on_cluster.conftest import MODEL, NAMESPACE, SLACK, Deployment, Load, Shell

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]

RECORD = "vision-rollout"


def lose_record(shell: Shell, deployment: Deployment) -> None:
    assert shell("canary", MODEL, "2", "--traffic", "50") == 0, shell.err
    deployment.cluster.delete(CONFIG_MAP, RECORD)


def canary_by_kubectl(shell: Shell, deployment: Deployment) -> None:
    spec = with_revision(deployment.document["spec"]["predictor"], MODEL, "2")
    deployment.patch({"containers": spec["containers"], "canaryTrafficPercent": 50})
    wait_until(lambda: "open" in shell.json("status")["operation"]["text"])


def wait_until(true: Callable[[], object], seconds: float = 300.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"not after {seconds:.0f} s"
        time.sleep(1.0)


@pytest.mark.parametrize("before", [lose_record, canary_by_kubectl])
@pytest.mark.parametrize(("command", "revision"), [("promote", "2"), ("rollback", "1")])
def test_a_canary_that_the_record_does_not_know_of_has_a_way_on(
    settled: Shell,
    load_of: Load,
    deployment: Deployment,
    before: Callable[[Shell, Deployment], None],
    command: str,
    revision: str,
) -> None:
    shell = settled
    load_of.rate = 10.0
    with load_of as load:
        load.wait(20)
        before(shell, deployment)
        assert shell("status") == 0
        assert "not in the record: found on the cluster" in shell.out
        assert shell("canary", "mnist", "1") == 4
        assert shell(command) == 0, shell.err
        load.wait(20)
        assert {answer.revision for answer in load.wait(40)} == {revision}
    status = shell.json("status")
    assert status["settled"]
    assert status["models"][MODEL] == revision


def test_a_refused_command_has_not_written_the_record(
    settled: Shell, deployment: Deployment
) -> None:
    shell = settled
    assert shell("canary", MODEL, "2", "--traffic", "50") == 0, shell.err
    deployment.patch({"timeout": 59})
    before = record(deployment)
    assert shell("promote") == 5, shell.err
    assert record(deployment) == before
    assert shell("rollback") == 0, shell.err
    assert shell.json("status")["settled"]
    assert "discarded" in [entry["action"] for entry in shell.json("history")]


def record(deployment: Deployment) -> dict[str, Any]:
    data: dict[str, Any] = deployment.cluster.get(CONFIG_MAP, RECORD)["data"]
    return {key: value for key, value in data.items() if key != "lock"}


def test_an_image_that_cannot_be_pulled_is_named_at_once(settled: Shell) -> None:
    shell = settled
    started = time.monotonic()
    assert shell("canary", MODEL, "2", "--image", "dev.local/vision-predictor:nosuch") == 6
    shell.tell(f"told and taken back after {time.monotonic() - started:.0f} s")
    assert "ErrImagePull" in shell.err or "ImagePullBackOff" in shell.err
    assert shell.json("status")["settled"]


def test_rollback_stops_a_rollout_at_work(
    settled: Shell, deployment: Deployment, data: Path, tmp_path: Path
) -> None:
    shell = settled
    first: list[int] = []
    common = ["--namespace", NAMESPACE, "--service", "vision", "--cards", str(shell.cards)]
    analysis = ["--data", str(data), "--images", "20", "--gateway", deployment.gateway]
    analysis += ["--interval-seconds", "3000", "--steps", "50,100", "--report", str(tmp_path)]
    analysis += ["--latency-slack-seconds", SLACK]

    def rollout() -> None:
        first.append(main(["rollout", MODEL, "2", *analysis, "--by", "first", *common]))

    def at_work() -> bool:
        operation = shell.json("status")["operation"]
        return operation is not None and operation["percent"] == 50

    thread = threading.Thread(target=rollout)
    thread.start()
    wait_until(at_work)
    assert shell("rollback") == 0, shell.err
    thread.join(120)
    assert first == [4]
    status = shell.json("status")
    assert status["settled"]
    assert status["models"][MODEL] == "1"
