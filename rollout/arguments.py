"""The commands' arguments."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields
from pathlib import Path

from rollout.analysis import Plan
from rollout.evidence import Rules

ROOT = Path(__file__).parent.parent
VARIABLE = "VISION_ROLLOUT_"
"""Prefix of the variables that set what an analysis takes, such as VISION_ROLLOUT_MIN_FAILURES."""

PLAN = {
    "interval_seconds": "an analysis interval lasts at least this long",
    "interval_requests": "and has at least this many calls to the canary",
    "give_up_seconds": "or is given up after this long",
    "rate": "labelled requests per second",
}
RULES = {
    "confidence": "that the canary is worse, at the gate and at the end of an interval",
    "early_confidence": "that it is worse, at every check before the end",
    "min_failures": "failures of one kind before they count",
    "min_labelled": "labelled answers of the canary before their scores are compared",
    "latency_ratio": "how many times the stable one's 95th percentile the canary's may be",
    "latency_slack_seconds": "and how much more than that",
    "min_feedback": "right answers of customers to the canary before they are compared",
    "min_timed_calls": "calls of each side before percentiles are compared",
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="vision", description="Rollouts on a cluster.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--namespace", default="vision")
    common.add_argument("--service", default="", help="InferenceService (default: what fits)")
    common.add_argument("--context", default=None, help="of KUBECONFIG; default: the current one")
    common.add_argument("--cards", type=Path, default=ROOT / "models", help="folder of model cards")
    common.add_argument("--output", choices=("table", "json"), default="table")
    common.add_argument("--by", default="", help="name in the history; default: user@host")
    common.add_argument(
        "--timeout", type=float, default=300.0, help="seconds that a new Knative revision may take"
    )
    commands = made.add_subparsers(dest="command", required=True)

    def command(name: str, text: str, writes: bool = True) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, parents=[common])
        if writes:
            added.add_argument("--why", default="", help="reason, for the history")
            added.add_argument("--dry-run", action="store_true", help="say what would be done")
        return added

    def overlay(added: argparse.ArgumentParser, required: bool = False) -> None:
        added.add_argument(
            "--overlay", type=Path, required=required, help="folder with a kustomization"
        )

    def experiments(added: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added.add_argument(
            "--experiments",
            default=os.environ.get(f"{VARIABLE}EXPERIMENTS", ""),
            metavar="URL",
            help="counters of the console that knows what experiments run, or none: it is not "
            f"asked (default: the console in the namespace; variable {VARIABLE}EXPERIMENTS)",
        )
        return added

    opened = experiments(command("canary", "give one model's new revision a share of the traffic"))
    opened.add_argument("model")
    opened.add_argument("revision")
    opened.add_argument("--traffic", type=_percent, default=10, help="per cent (default: 10)")
    opened.add_argument("--image", default="", help="of the predictor, where it is another")
    command("status", "show who is stable, who is latest, who gets what", writes=False)
    overlay(experiments(command("promote", "give the canary everything")))
    back = experiments(command("rollback", "take a canary back, or go down the history"))
    back.add_argument("--steps", type=_positive, default=1)
    overlay(back)
    alone = experiments(
        command("rollout", "roll a revision out step by step, or refuse it, on evidence")
    )
    _add_evaluation(alone)
    overlay(alone)
    command("history", "show what was rolled out, when, by whom and why", writes=False)
    check = command("deploy-check", "would a deployment undo a promotion?", writes=False)
    overlay(check, required=True)
    check.add_argument("--rendered", type=Path, help="what is applied: only its services count")
    check.add_argument("--force", action="store_true", help="discard what is under way")
    return made


def _add_evaluation(alone: argparse.ArgumentParser) -> None:
    alone.add_argument("model")
    alone.add_argument("revision")
    alone.add_argument("--image", default="", help="of the predictor, where it is another")
    alone.add_argument(
        "--data",
        default=os.environ.get("DATA") or "data",
        help="data folder, or .npz file or address with labelled images (variable DATA)",
    )
    alone.add_argument("--images", type=_positive, default=500, help="labelled images (500)")
    alone.add_argument("--seed", type=int, default=0, help="of their choice")
    alone.add_argument("--gateway", default="", help="http://host:port (default: Kourier's)")
    alone.add_argument("--steps", type=_steps, default=Plan.steps, help="per cent (5,25,50,100)")
    alone.add_argument(
        "--feedback",
        default=os.environ.get(f"{VARIABLE}FEEDBACK", ""),
        help="address of the accounts, whose customers' right answers are evidence "
        f"(variable {VARIABLE}FEEDBACK)",
    )
    alone.add_argument(
        "--feedback-key",
        type=Path,
        default=os.environ.get(f"{VARIABLE}FEEDBACK_KEY"),
        help="file of a deployer's key with the right feedback:read "
        f"(variable {VARIABLE}FEEDBACK_KEY)",
    )
    alone.add_argument("--report", type=Path, default=ROOT / "build" / "rollout")
    for kind, texts in ((Plan, PLAN), (Rules, RULES)):
        for name, text in texts.items():
            default = getattr(kind, name)
            variable = f"{VARIABLE}{name.upper()}"
            alone.add_argument(
                f"--{name.replace('_', '-')}",
                type=type(default),
                # A text is read by `type`, so that a wrong one is told as an argument is.
                default=os.environ.get(variable) or default,
                help=f"{text} ({default}; variable {variable})",
            )


def plan_of(options: argparse.Namespace) -> Plan:
    return Plan(**{field.name: getattr(options, field.name) for field in fields(Plan)})


def rules_of(options: argparse.Namespace) -> Rules:
    return Rules(**{field.name: getattr(options, field.name) for field in fields(Rules)})


def _percent(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 99:
        raise argparse.ArgumentTypeError(
            f"expected 0 to 99 %, got {value}; `promote` gives a canary 100"
        )
    return value


def _steps(text: str) -> tuple[int, ...]:
    steps = tuple(int(part) for part in text.split(","))
    if list(steps) != sorted(set(steps)) or steps[-1] != 100 or steps[0] < 1:
        raise argparse.ArgumentTypeError(
            f"expected percentages that go up to 100, such as 5,25,50,100, got {text}"
        )
    return steps


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {value}")
    return value
