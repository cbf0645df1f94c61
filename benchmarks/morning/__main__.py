"""A morning of traffic on one machine: ``python -m benchmarks.morning``.

Six hours, each of which takes a minute, and so do the rules' windows. Real servers, two revisions
side by side, Envoy and the check in front of the stable one, Prometheus and Alertmanager with a
webhook. A canary that is slow, an outage of the predictor, a slow hour and pictures that change;
then a table of which alert was told when, and the panels as a picture.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.morning.pace import faster_alertmanager, faster_rules
from benchmarks.morning.pictures import changed, digits
from benchmarks.morning.screenshot import screenshot
from benchmarks.morning.throttle import throttled
from benchmarks.morning.town import MODEL, Town, running
from benchmarks.morning.visitors import Visitors, any_of
from benchmarks.morning.webhook import Told, webhook
from common.errors import StartError
from common.ports import free_row
from common.processes import ROOT, Processes
from common.table import table
from monitoring import local
from monitoring.local import Watched
from monitoring.objectives import read_objectives
from monitoring.rules import rule_groups
from training.data import data_folder

FOLDER = ROOT / "build" / "morning"
BEGINS, HOURS = 6, 6
SCRAPE_SECONDS = 0.5
CANARY_SHARE = 0.3
HEAD = ("event", "from", "to", "alert", "severity", "told after, s", "over after, s", "panel")


@dataclass(frozen=True)
class Happening:
    """What happens on the morning.

    Attributes:
        begins, ends: hours of the day.
        during: what is so meanwhile.
    """

    name: str
    begins: float
    ends: float
    during: Callable[[Town, Visitors], AbstractContextManager[None]]


@contextlib.contextmanager
def canary(town: Town, visitors: Visitors) -> Iterator[None]:
    """A revision whose predictor gets two fifths of the processor's time."""
    visitors.canary_share = CANARY_SHARE
    with throttled(town.predictor(town.canary), 0.04, 0.06):
        yield
    visitors.canary_share = 0.0


@contextlib.contextmanager
def outage(town: Town, _visitors: Visitors) -> Iterator[None]:
    """The predictor is killed, and started again at the end."""
    town.stable.kill("predictor")
    yield
    town.stable.start("predictor")


@contextlib.contextmanager
def slow(town: Town, _visitors: Visitors) -> Iterator[None]:
    """The stable revision's predictor gets a tenth of the processor's time."""
    with throttled(town.predictor(town.stable), 0.05, 0.45):
        yield


@contextlib.contextmanager
def shift(_town: Town, visitors: Visitors) -> Iterator[None]:
    """Pictures come darker and out of focus."""
    before = visitors.picture
    visitors.picture = lambda: changed(before())
    yield
    visitors.picture = before


MORNING = (
    Happening("a canary that is slow", 7.0, 7.75, canary),
    Happening("the predictor is gone", 8.25, 8.6, outage),
    Happening("a slow hour", 9.25, 10.25, slow),
    Happening("darker, blurred pictures", 11.0, 12.0, shift),
)


def watched_morning(
    folder: Path, hour_seconds: float, data: Path, events: Sequence[Happening] = MORNING
) -> list[tuple[Happening, float, list[Told]]]:
    """Each event, when it began (``time.monotonic``), and what people were told until the next.

    Raises:
        StartError: something is not installed or does not start.
    """
    factor = 3600 / hour_seconds
    with webhook() as (url, told), running(folder) as town, Processes(folder) as processes:
        watched = Watched(
            town.targets, free_row(3)[0], url, folder / "monitoring", scrape_seconds=SCRAPE_SECONDS
        )
        _start(processes, watched, factor)
        pictures = digits(data)
        path = f"/v1/models/{MODEL}:predict"
        began_at = {}
        with Visitors(
            town.edge, town.canary.ports.http, town.key, path, any_of(pictures)
        ) as visitors:
            started = time.monotonic()

            def wait_until(hour: float) -> None:
                time.sleep(max(0.0, started + (hour - BEGINS) * hour_seconds - time.monotonic()))

            for event in events:
                wait_until(event.begins)
                print(f"{clock(event.begins)}  {event.name}", file=sys.stderr, flush=True)
                with event.during(town, visitors):
                    began_at[event.name] = time.monotonic()
                    wait_until(event.ends)
            wait_until(BEGINS + HOURS)
            seconds = round(HOURS * hour_seconds) + 5
            page = f"{watched.page}?seconds={seconds}&window={10 * SCRAPE_SECONDS:g}"
            screenshot(page, folder / "panels.png")
            print(f"answers by status: {dict(visitors.answers)}", file=sys.stderr)
    return by_event(events, began_at, told)


def _start(processes: Processes, watched: Watched, factor: float) -> None:
    objectives = read_objectives()
    local.write_files(watched, objectives)
    for name, document in (
        ("rules.yaml", faster_rules(rule_groups(objectives), factor)),
        (
            "alertmanager.yaml",
            faster_alertmanager(local.alertmanager_configuration(watched.webhook), factor),
        ),
    ):
        (watched.folder / name).write_text(yaml.safe_dump(document), encoding="utf-8")
    local.start_programs(processes, watched, ["--rules.alert.resend-delay=500ms"])
    local.start_drift(processes, watched, ["--every", str(SCRAPE_SECONDS)])


def by_event(
    events: Sequence[Happening], began_at: dict[str, float], told: Sequence[Told]
) -> list[tuple[Happening, float, list[Told]]]:
    ends = [*(began_at[event.name] for event in events[1:]), float("inf")]
    return [
        (
            event,
            began_at[event.name],
            [item for item in told if began_at[event.name] <= item.at < end],
        )
        for event, end in zip(events, ends, strict=True)
    ]


def rows(found: Sequence[tuple[Happening, float, list[Told]]]) -> list[tuple[str, ...]]:
    """The table: an alert of an event a row, of those of one name and severity the first."""
    lines: list[tuple[str, ...]] = []
    for event, began, told in found:
        first: dict[tuple[str, str, str], Told] = {}
        over: dict[tuple[str, str, str], Told] = {}
        for item in told:
            key = (_shown(item), item.severity, item.panel)
            if item.fires:
                first.setdefault(key, item)
            elif key in first:
                over[key] = item
        when = (event.name, clock(event.begins), clock(event.ends))
        for key, item in first.items():
            name, severity, panel = key
            until = f"{over[key].at - began:.1f}" if key in over else ""
            lines.append((*when, name, severity, f"{item.at - began:.1f}", until, panel))
        if not first:
            lines.append((*when, "none", "", "", "", ""))
    return lines


def _shown(item: Told) -> str:
    more = [
        item.labels[name]
        for name in ("objective", "customer_class", "window", "revision", "component", "statistic")
        if name in item.labels
    ]
    return f"{item.name} ({', '.join(more)})" if more else item.name


def clock(hour: float) -> str:
    return f"{int(hour):02}:{round(hour % 1 * 60):02}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.morning", description=__doc__)
    parser.add_argument("--hour", type=float, default=60.0, help="seconds that an hour takes (60)")
    parser.add_argument("--data", default=None, help="data folder (variable DATA; default: data)")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of the picture")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            found = watched_morning(folder, options.hour, data_folder(options.data))
            (options.output / "panels.png").write_bytes((folder / "panels.png").read_bytes())
    except (StartError, ValueError) as error:
        print(f"morning: {error}", file=sys.stderr)
        return 1
    lines = rows(found)
    (options.output / "alerts.json").write_text(json.dumps([HEAD, *lines], indent=1) + "\n")
    print(table(HEAD, lines))
    print(f"\n{options.output / 'panels.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
