"""What ``auto`` leaves behind: why it decided so, as a table and a plot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.intervals import wilson
from rollout.analysis import Outcome
from rollout.evidence import Calls
from tasks import find_task

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def write_report(outcome: Outcome, folder: Path) -> Path:
    """Write ``report.md``, ``report.svg`` and ``report.json``; gives the first's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(
        json.dumps(outcome.to_json(), indent=2) + "\n", encoding="utf-8"
    )
    if outcome.intervals:
        draw(outcome, folder / "report.svg")
    path = folder / "report.md"
    path.write_text(to_markdown(outcome), encoding="utf-8")
    return path


def to_markdown(outcome: Outcome) -> str:
    verdict = "promoted" if outcome.promoted else "refused"
    lines = [
        f"# {outcome.model}/{outcome.revision}: {verdict}",
        "",
        f"{outcome.reason}.",
        "",
    ]
    gate = outcome.gate
    if gate is not None:
        told = find_task(gate.task).score_text
        lines += [
            "## At the gate, at 0 %",
            "",
            f"{gate.images} labelled images to both, {gate.agreement} answered alike; only stable "
            f"right on {gate.stable_only}, only the new one on {gate.canary_only}.",
            "",
            "| | revision | labelled images | no answer | 50 % within | 95 % within |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for name, side in (("stable", gate.stable), ("new", gate.canary)):
            lines.append(
                f"| {name} | {', '.join(side.revisions)} | "
                f"{told(side.correct, gate.images)} | {side.failures} | "
                f"{side.p50_ms:.1f} ms | {side.p95_ms:.1f} ms |"
            )
        lines.append("")
    if gate is not None and outcome.intervals:
        lines += [
            "## Step by step",
            "",
            "Counted: the predictor's own counters. Labelled: requests sent to the public URL. "
            "Feedback: right answers of customers that came in this step.",
            "",
            "| asked | held | counted, canary | its share | failed | labelled, canary | "
            "stable | feedback, canary | stable | of no revision | 95 % within, canary | stable |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for interval in outcome.intervals:
            found = interval.evidence
            lines.append(
                f"| {interval.percent} % | {interval.seconds:.0f} s | "
                f"{found.counted_canary.total} | {found.share:.1%} | "
                f"{found.counted_canary.failed} | {_right(found.canary, told)} | "
                f"{_right(found.stable, told)} | {_right(found.feedback_canary, told)} | "
                f"{_right(found.feedback_stable, told)} | {found.unattributed} | "
                f"{_p95(found.canary)} | {_p95(found.stable)} |"
            )
        lines += ["", "![shares, accuracy and time by step](report.svg)", ""]
    return "\n".join(lines)


def draw(outcome: Outcome, path: Path) -> None:
    """Share, accuracy and 95th percentile by step, with 95 % intervals where they are shares."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.2), layout="constrained")
    share, accuracy, times = figure.subplots(1, 3)
    steps = [interval.percent for interval in outcome.intervals]
    places = range(len(steps))
    share.plot(places, steps, "k_", markersize=22, label="asked")
    _shares(
        share,
        [
            (
                interval.evidence.counted_canary.total,
                interval.evidence.counted_canary.total + interval.evidence.counted_stable.total,
            )
            for interval in outcome.intervals
        ],
        "counted",
        "C1",
        0.0,
    )
    share.set_title("share of calls, %")
    for name, colour, shift in (("stable", "C0", -0.08), ("canary", "C1", 0.08)):
        sides: list[Calls] = [getattr(interval.evidence, name) for interval in outcome.intervals]
        _shares(accuracy, [(s.correct, s.labelled) for s in sides], name, colour, shift)
        known = [(i + shift, s) for i, s in zip(places, sides, strict=True) if s.seconds.total]
        times.plot(
            [x for x, _ in known],
            [1000 * s.seconds.quantile(0.95) for _, s in known],
            "o",
            color=colour,
            label=name,
        )
    accuracy.set_title("score of labelled images, %")
    times.set_title("95 % of requests within, ms")
    times.set_ylim(bottom=0)
    for axes in (share, accuracy, times):
        axes.set_xticks(list(places), [f"{step} %" for step in steps])
        axes.set_xlim(-0.5, len(steps) - 0.5)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def _shares(
    axes: Axes, counts: list[tuple[float, int]], label: str, colour: str, shift: float
) -> None:
    points: list[tuple[float, float, float, float]] = []
    for place, (part, whole) in enumerate(counts):
        if whole:
            low, high = wilson(part, whole)
            middle = part / whole
            points.append(
                (place + shift, 100 * middle, 100 * (middle - low), 100 * (high - middle))
            )
    if points:
        x, y, below, above = zip(*points, strict=True)
        errors: Any = [[max(0.0, e) for e in below], [max(0.0, e) for e in above]]
        axes.errorbar(x, y, yerr=errors, fmt="o", capsize=3, color=colour, label=label)


def _right(calls: Calls, told: Callable[[float, int], str]) -> str:
    if not calls.labelled:
        return "–"
    return f"{told(calls.correct, calls.labelled)} ({calls.correct / calls.labelled:.1%})"


def _p95(calls: Calls) -> str:
    return f"{1000 * calls.seconds.quantile(0.95):.0f} ms" if calls.seconds.total else "–"
