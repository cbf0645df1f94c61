"""Arguments, output and exit statuses of the commands."""

from __future__ import annotations

import json
import re
from dataclasses import fields

import pytest

from rollout import errors
from rollout.analysis import Plan
from rollout.arguments import PLAN, RULES, parser, plan_of, rules_of
from rollout.evidence import Rules
from tests.conftest import ROOT
from tests.rollout.conftest import Shell


def test_status_as_a_table_and_as_json(shell: Shell) -> None:
    assert shell("status") == 0
    assert shell.out.splitlines() == [
        "InferenceService vision in namespace vision: fashion-mnist/1, mnist/1",
        "settled: nothing is under way",
        "",
        "KNATIVE REVISION        ROLE    TRAFFIC  READY  PODS  MODELS",
        "vision-predictor-00001  stable  100 %    yes    1/1   fashion-mnist/1, mnist/1",
    ]
    document = shell.json("status")
    assert document["stable"] == document["latest"] == "vision-predictor-00001"
    assert document["url"] == "http://vision-transformer.vision.example.com"


def test_errors_as_json(shell: Shell) -> None:
    assert shell("promote", "--output", "json") == 9
    found = json.loads(shell.out)
    assert found == {"error": "no canary is open", "kind": "NotFoundError", "status": 9}


@pytest.mark.parametrize(
    "arguments",
    [
        ["canary", "mnist"],
        ["canary", "mnist", "2", "--traffic", "100"],
        ["canary", "mnist", "2", "--traffic", "-1"],
        ["rollback", "--steps", "0"],
        ["rollout", "mnist", "2", "--steps", "50,25,100"],
        ["rollout", "mnist", "2", "--steps", "5,50"],
        ["deploy-check"],
        [],
    ],
)
def test_wrong_arguments(shell: Shell, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        shell(*arguments)
    assert caught.value.code == 2


def test_the_history_names_who_when_what_and_why(shell: Shell) -> None:
    assert shell("canary", "mnist", "2", "--why", "more data") == 0
    assert shell("promote") == 0
    assert shell("history") == 0
    head, _, last = shell.out.splitlines()
    assert head.split()[:4] == ["NUMBER", "WHEN", "WHO", "WHAT"]
    assert re.search(r"^2 .*Z  tester .*promoted +mnist/2 +[0-9a-f]{12} .*more data$", last)


def test_every_exit_status_is_documented_and_its_own() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type)]
    statuses = [k.status for k in kinds if issubclass(k, errors.RolloutError)]
    assert len(set(statuses)) == len(statuses)
    page = (ROOT / "docs" / "rollout.md").read_text(encoding="utf-8")
    for status in [0, 2, 130, *statuses]:
        assert re.search(rf"^\| {status} \|", page, re.MULTILINE) or status == 1, status


def test_every_option_that_a_rollout_has_is_documented() -> None:
    page = (ROOT / "docs" / "rollout.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in ("canary", "status", "promote", "rollback", "history", "rollout", "test-cluster"):
        assert f"make {name}" in page
        assert re.search(rf"^{name}: ", makefile, re.MULTILINE)


def test_every_threshold_is_an_option_and_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {*PLAN, "steps"} == {field.name for field in fields(Plan)}
    assert set(RULES) == {field.name for field in fields(Rules)}
    documented = (ROOT / "docs" / "rollout.md").read_text(encoding="utf-8")
    for name in (*PLAN, *RULES):
        assert f"`--{name.replace('_', '-')}`" in documented
    monkeypatch.setenv("VISION_ROLLOUT_CONFIDENCE", "0.9")
    monkeypatch.setenv("VISION_ROLLOUT_RATE", "3")
    options = parser().parse_args(["rollout", "mnist", "2", "--min-failures", "5"])
    assert rules_of(options) == Rules(confidence=0.9, min_failures=5)
    assert plan_of(options) == Plan(rate=3)


def test_a_variable_that_is_no_number_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VISION_ROLLOUT_RATE", "fast")
    with pytest.raises(SystemExit):
        parser().parse_args(["rollout", "mnist", "2"])
    assert "argument --rate: invalid int value: 'fast'" in capsys.readouterr().err


def test_an_exit_status_is_printed_with_its_meaning(shell: Shell) -> None:
    """make says "Error 4" at best."""
    assert shell("promote") == 9
    assert shell.err.endswith(f"exit status 9: {errors.NotFoundError.meaning}\n")
    shell.clock.interrupt_at = 1
    assert shell("canary", "mnist", "2") == 130
    assert shell.err.endswith("exit status 130: interrupted\n")
