"""A rollout leaves alone what an experiment of customers counts on."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.errors import BusyError, UnreachableError
from rollout.experiments import Experiment, Experiments, require_apart
from tests.rollout.conftest import Shell
from tests.rollout.fake_cluster import FakeCluster
from tests.rollout.fake_gateway import FakeGateway
from tests.rollout.loopback import QuietHandler, served
from tests.rollout.test_run import NEW, Gate, gate, gateway, plain, run

__all__ = ["gate", "gateway", "plain"]

HOST = "http://{}.vision.svc.cluster.local"
ITSELF, OTHER = HOST.format("vision-transformer"), HOST.format("another-transformer")
TAG = HOST.format("prev-vision-predictor")


class Console:
    """A pod of the console; what its counters tell can be changed."""

    def __init__(self, fake: FakeCluster) -> None:
        self._fake, self._proxy = fake, fake._proxy
        self.targets: dict[str, list[str]] = {}
        self.answers = True
        self.asked = 0
        fake._proxy = self._answer  # type: ignore[method-assign]
        pod = {
            "metadata": {"name": "console-1", "labels": {"component": "console"}},
            "spec": {"containers": [{"name": "console", "image": "accounts", "args": []}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }
        fake.store.put("pods", pod)

    def runs(self, *targets: str, model: str = "mnist") -> None:
        self.targets = {model: list(targets)} if targets else {}

    def text(self) -> str:
        lines = [f"vision_experiments_running {len(self.targets)}"]
        for model, places in self.targets.items():
            labels = f'experiment="halves",model_name="{model}"'
            lines += [f'vision_experiment_target{{{labels},target="{at}"}} 1' for at in places]
        return "\n".join(lines) + "\n"

    def _answer(self, method: str, pod: str, path: str, body: Any) -> tuple[int, Any]:
        if pod != "console-1":
            return self._proxy(method, pod, path, body)
        self.asked += 1
        assert path == "metrics"
        return (200, self.text()) if self.answers else (502, {"message": "no route to host"})


@pytest.fixture
def console(fake: FakeCluster) -> Console:
    return Console(fake)


@pytest.mark.parametrize(
    ("targets", "met"),
    [
        ([OTHER, ITSELF], True),
        ([OTHER, HOST.format("vision-predictor")], True),
        ([OTHER, TAG], True),
        ([OTHER, HOST.format("latest-vision-predictor")], True),
        ([OTHER, "http://127.0.0.1:8090"], True),
        ([OTHER, "http://vision-transformer.elsewhere.svc.cluster.local"], False),
        ([OTHER], False),
    ],
)
def test_what_it_would_move_is_left_alone(
    shell: Shell, fake: FakeCluster, console: Console, targets: list[str], met: bool
) -> None:
    console.runs(*targets)
    writes = list(fake.writes)
    assert shell("canary", "mnist", "2") == (4 if met else 0), shell.err
    if met:
        assert "experiment halves of mnist runs" in shell.err
        assert "vision experiment stop halves" in shell.err
        assert "the message says which" in shell.err
        assert fake.writes == writes
        assert shell("canary", "mnist", "2", "--dry-run") == 4
        assert shell("canary", "fashion-mnist", "2") == 0, shell.err


def test_a_share_may_change_under_an_experiment_of_tags_which_a_promotion_would_end(
    shell: Shell, fake: FakeCluster, console: Console
) -> None:
    assert shell("canary", "mnist", "2", "--traffic", "0") == 0, shell.err
    console.runs(TAG, HOST.format("latest-vision-predictor"))
    assert shell("canary", "mnist", "2", "--traffic", "20") == 0, shell.err
    assert shell("promote") == 4
    assert "has variants at tags of vision" in shell.err
    assert shell("promote", "--dry-run") == 4
    assert shell("promote", "--experiments", "none") == 0, shell.err
    assert fake.served() == {("fashion-mnist/1", "mnist/2"): 100}


def test_a_rollback_is_never_refused_and_says_so(
    shell: Shell, fake: FakeCluster, console: Console
) -> None:
    assert shell("canary", "mnist", "2") == 0, shell.err
    console.runs(TAG, ITSELF)
    assert shell("rollback") == 0, shell.err
    assert "to be looked at: experiment halves of mnist runs" in shell.err
    assert fake.served() == {("fashion-mnist/1", "mnist/1"): 100}


def test_what_is_not_known_is_not_begun(
    shell: Shell, fake: FakeCluster, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    console.answers = False
    assert shell("canary", "mnist", "2") == 8
    assert "whether an experiment runs is not known: pod console-1:" in shell.err
    assert "does a network policy let it?" in shell.err
    fake.store.objects["pods", "console-1"]["status"]["conditions"][0]["status"] = "False"
    assert shell("canary", "mnist", "2") == 8
    assert "no pod of the console is ready" in shell.err
    monkeypatch.setenv("VISION_ROLLOUT_EXPERIMENTS", "none")
    assert shell("canary", "mnist", "2") == 0, shell.err


@pytest.mark.usefixtures("plain", "gateway", "gate")
def test_a_rollout_is_not_begun_beside_one(
    shell: Shell, fake: FakeCluster, console: Console
) -> None:
    console.runs(ITSELF, OTHER, model="fashion-mnist")
    assert run(shell) == 4
    assert fake.record() == {}


@pytest.mark.usefixtures("plain")
def test_a_rollout_stops_where_it_stands_and_goes_on_when_the_experiment_has_ended(
    shell: Shell, fake: FakeCluster, console: Console, gateway: FakeGateway, gate: Gate
) -> None:
    at_gate = gate.__call__

    def begun_meanwhile(job: dict[str, Any]) -> str:
        console.runs(TAG, HOST.format("latest-vision-predictor"), model="fashion-mnist")
        return at_gate(job)

    fake.job_result = begun_meanwhile
    assert run(shell) == 4
    operation = fake.record()["operation"]
    # The steps leave the tags where they are; the last one does not.
    assert (operation["step"], operation["percent"]) == ("open", 50)
    assert fake.record()["lock"] is None
    console.runs()
    fake.job_result = at_gate
    assert run(shell) == 0, shell.err
    assert fake.served() == {NEW: 100}


@pytest.mark.usefixtures("plain")
def test_a_rollout_under_way_does_not_end_for_a_console_that_is_away(
    shell: Shell, fake: FakeCluster, console: Console, gateway: FakeGateway, gate: Gate
) -> None:
    at_gate = gate.__call__

    def away_meanwhile(job: dict[str, Any]) -> str:
        console.answers = False
        return at_gate(job)

    fake.job_result = away_meanwhile
    assert run(shell) == 0, shell.err
    assert "whether an experiment runs is not known" in shell.err
    assert console.asked > 1


def test_a_console_elsewhere_is_asked_at_its_address() -> None:
    text = 'vision_experiments_running 1\nvision_experiment_target{experiment="a",'
    text += 'model_name="mnist",target="http://127.0.0.1:8081"} 1\n'

    class Counters(QuietHandler):
        def do_GET(self) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with served(Counters) as url:
        known = Experiments(f"{url}/metrics")
        assert known.of("mnist") == [Experiment("a", "mnist", ("http://127.0.0.1:8081",))]
        assert known.of("fashion-mnist") == []
        text = "vision_feedback_total 3\n"
        with pytest.raises(UnreachableError, match="older version"):
            known.of("mnist")
        text = "<html>"
        with pytest.raises(UnreachableError, match="no counters"):
            known.of("mnist")
    with pytest.raises(UnreachableError, match="none"):
        known.of("mnist")
    assert Experiments().of("mnist") == []


def test_what_answers_on_this_machine_may_be_the_service() -> None:
    here = Experiment("a", "mnist", ("http://localhost:8081", OTHER))
    with pytest.raises(BusyError):
        require_apart([here], "local", "")
    require_apart([Experiment("a", "mnist", (OTHER, TAG))], "local", "")
