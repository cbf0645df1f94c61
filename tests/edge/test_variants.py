"""An experiment on real sockets: Envoy, the check, and two model servers."""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from sqlalchemy import select

from accounts import experiments
from accounts.experiment_report import report
from accounts.experiments import Plan, Shadow, Variant
from accounts.shadows import Tally, shadow_report
from accounts.tables import Event
from common.processes import Processes
from tests.edge.stack import Stack, with_stub
from tests.waiting import wait_until

MODEL = "mnist"
SUBJECTS = int(os.environ.get("SUBJECTS", "100"))


class Answer(NamedTuple):
    status: int
    variant: str
    revision: str


class Service(NamedTuple):
    stack: Stack
    other: str
    """Where the second revision answers, as a URL."""
    processes: Processes


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("variants")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Processes(folder / "other") as processes:
        processes.start("other", [sys.executable, "-m", "tests.edge.stub", str(port), "2", "9"], {})
        processes.wait_for_port("other", port)
        with with_stub(folder, f"sqlite:///{folder}/accounts.db") as stack:
            yield Service(stack, f"http://127.0.0.1:{port}", processes)


def ask(stack: Stack, key: str, subject: str = "", **more: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", stack.ports.edge, timeout=30)
    headers = {"authorization": f"Bearer {key}", "content-type": "image/png", **more}
    if subject:
        headers["x-subject"] = subject
    connection.request("POST", f"/v1/models/{MODEL}:predict", b"picture", headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    revision = json.loads(text)["model_version"] if answer.status == 200 else ""
    return Answer(answer.status, answer.getheader("x-vision-variant", ""), revision)


def begin(service: Service, name: str, **changes: object) -> Plan:
    control = f"http://127.0.0.1:{service.stack.ports.models}"
    values: dict[str, object] = {
        "name": name,
        "model": MODEL,
        "variants": (Variant("old", "1", control), Variant("new", "2", service.other)),
        "sticky_by": "header:x-subject",
    }
    plan = Plan(**{**values, **changes})  # type: ignore[arg-type]
    with service.stack.session() as session:
        experiments.start(session, plan, "op")
        session.commit()
    return plan


def begun(stack: Stack, key: str, name: str) -> None:
    """Wait until the check knows of an experiment."""
    wait_until(lambda: ask(stack, key, "s0").variant.startswith(f"{name}/"), 15)


def end(service: Service, name: str) -> None:
    with service.stack.session() as session:
        experiments.stop(session, name, "op")
        session.commit()


def test_each_subject_stays_at_one_revision_and_the_report_says_what_was_seen(
    service: Service,
) -> None:
    stack, key = service.stack, service.stack.key()
    begin(service, "halves")
    begun(stack, key.key, "halves")
    answers = {f"s{n}": [ask(stack, key.key, f"s{n}") for _ in range(2)] for n in range(SUBJECTS)}
    sides = {"halves/old": "1", "halves/new": "2"}
    for found in answers.values():
        assert len(set(found)) == 1
        assert (found[0].status, found[0].revision) == (200, sides[found[0].variant])
    share = sum(found[0].revision == "2" for found in answers.values()) / len(answers)
    print(f"{2 * len(answers)} requests: {100 * share:.2f} % at the new revision")
    assert abs(share - 0.5) < 1.5 / SUBJECTS**0.5
    # Without the header nobody takes part.
    assert ask(stack, key.key) == (200, "", "1")
    with stack.session() as session:
        shown = report(session, experiments.find(session, "halves"))
        events = session.scalars(select(Event).where(Event.experiment == "halves")).all()
    asked = {variant.name: variant for variant in shown.variants}
    assert asked["old"].requests + asked["new"].requests == len(events) >= 2 * SUBJECTS
    assert asked["old"].subjects + asked["new"].subjects == SUBJECTS
    assert asked["new"].figures["unsure"].value == 0
    assert asked["new"].off_revision == asked["old"].off_revision == 0
    assert {(event.variant, event.revision) for event in events} == {("old", "1"), ("new", "2")}
    end(service, "halves")
    wait_until(lambda: ask(stack, key.key, "s0").variant == "", 15)


def test_no_client_says_where_it_is_answered(service: Service) -> None:
    stack, key = service.stack, service.stack.key()
    upstream = service.other.removeprefix("http://")
    sent = {"x-vision-upstream": upstream, "x-vision-mirror": "console", "x-vision-shadow": "x/y"}
    assert ask(stack, key.key, **sent) == (200, "", "1")
    assert ask(stack, "vk_wrong", **sent).status == 401


def test_a_variant_that_is_down_fails_by_itself(service: Service) -> None:
    stack, key = service.stack, service.stack.key()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nothing = f"http://127.0.0.1:{probe.getsockname()[1]}"
    control = f"http://127.0.0.1:{stack.ports.models}"
    begin(service, "down", variants=(Variant("old", "1", control), Variant("new", "2", nothing)))
    begun(stack, key.key, "down")
    answers = [ask(stack, key.key, f"s{n}") for n in range(60)]
    assert {(a.status, a.revision) for a in answers} == {(200, "1"), (503, "")}

    def shown() -> int:
        with stack.session() as session:
            found = report(session, experiments.find(session, "down"))
        return round(found.variants[1].figures["failed"].value * found.variants[1].requests)

    failed = sum(answer.status == 503 for answer in answers)
    wait_until(lambda: shown() >= failed, 15)
    end(service, "down")


def test_another_revision_than_the_variant_s_is_told_apart(service: Service) -> None:
    stack, key = service.stack, service.stack.key()
    control = f"http://127.0.0.1:{stack.ports.models}"
    begin(
        service,
        "moved",
        variants=(Variant("old", "1", control), Variant("new", "3", service.other)),
    )
    begun(stack, key.key, "moved")
    for number in range(10):
        ask(stack, key.key, f"s{number}")
    with stack.session() as session:
        found = report(session, experiments.find(session, "moved"))
    assert found.variants[1].off_revision > 0
    assert found.may_stop and "not of revision 3" in found.decision
    end(service, "moved")


def test_a_shadow_is_compared_and_never_answers(service: Service) -> None:
    stack, key = service.stack, service.stack.key()
    stack.start("shadow")
    control = Variant("only", "1", f"http://127.0.0.1:{stack.ports.models}")
    begin(
        service,
        "shadowed",
        variants=(control,),
        percent=0,
        shadow=Shadow("2", service.other),
    )

    def shown() -> Tally:
        with stack.session() as session:
            return shadow_report(session, "shadowed", 0.05).tally

    def compared() -> bool:
        # All of it is answered by the control, and in no event is it an experiment's.
        assert ask(stack, key.key) == (200, "", "1")
        return shown().compared >= 5

    wait_until(compared, 30)
    found = shown()
    # The second stub says another label.
    assert found.agreeing == 0 and found.shadow_failed == found.off_revision == 0
    assert (found.examples[0].baseline, found.examples[0].shadow) == ('["7"]', '["9"]')
    with stack.session() as session:
        mine = select(Event).where(Event.key_id == key.id)
        events = session.scalars(mine).all()
    assert {(event.revision, event.experiment) for event in events} == {("1", "")}
    end(service, "shadowed")
