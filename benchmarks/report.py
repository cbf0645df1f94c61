"""The report in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from benchmarks.generator import LoadResult
from benchmarks.goals import MB, Goal, evaluate
from benchmarks.measure import EDGE_CONNECTIONS, USERS
from benchmarks.networks import TITLES
from benchmarks.results import Measured, Results
from benchmarks.service import MAX_INSTANCES, SERVICE

BUSY_ELSEWHERE = 0.2
"""Cores used by others above which figures are marked."""

MARK = {True: "yes", False: "**no**", None: "–"}


def write_report(results: Results, plots: Iterable[str]) -> str:
    """The whole document.

    Args:
        plots: file names under ``plots/`` beside it.
    """
    parts = [
        "# Benchmark",
        _introduction(results),
        "## Goals",
        goals_table(evaluate(results), _titles(results)),
        *_networks(results),
        *_shares(results),
        *_overload(results),
        *_edge(results),
        *_starts(results),
        *_costs(results),
        *_profiles(results),
        "## Plots",
        *[f"![{name.removesuffix('.png')}](plots/{name})" for name in plots],
        "## How it is measured",
        _method(results),
        "## Machine and versions",
        _machine(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def goals_table(goals: Sequence[Goal], titles: dict[str, str]) -> str:
    """What was wanted and reached, and how many times better than each peer."""
    peers = [name for name in titles if any(name in goal.ratios for goal in goals)]
    rows = [
        [
            goal.what,
            goal.target,
            goal.reached,
            MARK[goal.met],
            *(f"{goal.ratios[name]:.1f}×" if name in goal.ratios else "" for name in peers),
        ]
        for goal in goals
    ]
    return table(["", "goal", "reached", "met", *(f"to {titles[n]}" for n in peers)], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _introduction(results: Results) -> str:
    machine = results.machine
    text = (
        f"`make bench{' ARGS=--quick' if results.scale.quick else ''}` "
        "at commit "
        f"`{machine.commit}`, {results.started}, on {machine.cores:g} cores "
        f"of {machine.processor}. Images: {results.pictures}. Every answer of every measurement "
        "was checked."
    )
    busy = _busiest(results)
    if busy > BUSY_ELSEWHERE:
        text += (
            f"\n\n**The machine was not quiet**: other programs took up to {busy:.1f} cores during "
            "a measurement (column *elsewhere*). CPU time an image is the figure to trust then."
        )
    if results.scale.quick:
        text += "\n\nA quick run: short spans, few points; for the eye, not for the record."
    return text


def _networks(results: Results) -> list[str]:
    parts = []
    for revision, candidates in results.measured.items():
        limits = results.limits.get(revision, [])
        parts.append(f"## One image a request, {TITLES[revision]}")
        rows = [_row(m) for m in candidates.values()]
        for index, limit in enumerate(limits):
            cost = limit.decode_us_an_image + limit.forward_us_an_image
            moment = ("before", "after")[index] if len(limits) == 2 else "once"
            rows.append(
                [f"*physical limit ({moment})*", f"{limit.images_a_second:,.0f}", "", "", "",
                 f"{cost:,.0f}", "", "", "", str(limit.wrong)]
            )  # fmt: skip
        head = [
            "", f"images/s, {USERS} connections", "p50 ms", "p99 ms", "p50 ms alone",
            "CPU µs an image", "start s", "idle MB", "elsewhere cores", "faults",
        ]  # fmt: skip
        parts.append(table(head, rows))
        if not results.scale.quick:
            parts.append(_sweep(candidates.values()))
    if results.left_out:
        parts.append(
            "Left out: "
            + "; ".join(f"{name} ({reason})" for name, reason in results.left_out.items())
            + "."
        )
    return parts


def _shares(results: Results) -> list[str]:
    shares = results.shares
    if shares is None:
        return []
    counts = list(shares.loads)
    rows = []
    for index in range(len(shares.limits) - 1):
        row = [str(index + 1)]
        row += [f"{limit.images_a_second:,.0f}" for limit in shares.limits[index : index + 2]]
        for count in counts:
            load = shares.loads[count][index]
            row += [f"{load.images_a_second:,.0f}", f"{shares.of(count)[index]:.1%}"]
        rows.append(row)
    rows.append(["*median*", "", ""])
    for count in counts:
        rows[-1] += ["", f"{shares.typical(count):.1%}"]
    head = ["round", "limit before", "limit after"]
    for count in counts:
        head += [f"{count} image{'s' if count > 1 else ''} a request, images/s", "share"]
    return ["## Share of the physical limit", table(head, rows)]


def _row(measured: Measured) -> list[str]:
    if measured.error:
        return [measured.title, f"did not run: {measured.error}", *[""] * 8]
    many, alone = measured.closed[USERS], measured.closed[1]
    start = sum(statistics.median(seconds) for seconds in measured.start_seconds.values())
    idle = sum(item.resident for item in measured.idle.values()) / MB
    loads = [*measured.closed.values(), *measured.opened.values()]
    return [
        measured.title,
        f"{many.images_a_second:,.0f}",
        _latency(many, "p50"),
        _latency(many, "p99"),
        _latency(alone, "p50"),
        f"{many.server_cpu_us_an_image:,.0f}",
        f"{start:.1f}",
        f"{idle:,.0f}",
        f"{max(load.others_cpu_seconds / load.seconds for load in loads):.1f}",
        str(sum(load.faults for load in loads)),
    ]


def _sweep(candidates: Iterable[Measured]) -> str:
    """Images a second over connections."""
    measured = [m for m in candidates if not m.error]
    connections = sorted({count for m in measured for count in m.closed})
    rows = [
        [m.title, *(f"{m.closed[n].images_a_second:,.0f}" for n in connections)] for m in measured
    ]
    return "Images a second over connections:\n\n" + table(["", *map(str, connections)], rows)


def _overload(results: Results) -> list[str]:
    found = results.overload
    if found is None:
        return []
    rows = []
    for share, load in (("80 %", found.busy), ("400 %", found.over)):
        refused = ", ".join(f"{n:,} × {status}" for status, n in sorted(load.refused.items()))
        rows.append(
            [
                share,
                f"{(load.sent + load.unsent) / load.seconds:,.0f}",
                f"{load.images_a_second:,.0f}",
                _latency(load, "p50"),
                _latency(load, "p99"),
                refused or "none",
                str(load.refused_silently),
                f"{load.refusal_ms['p99']:.0f}" if load.refusal_ms else "",
                f"{load.unsent:,}",
                str(load.faults),
            ]
        )
    head = [
        "of capacity", "arrivals/s", "right/s", "p50 ms", "p99 ms", "refused", "no Retry-After",
        "p99 ms to refusal", "no connection free", "faults",
    ]  # fmt: skip
    grown = (found.resident_after - found.resident_before) / MB
    return [
        "## Overload",
        f"Poisson arrivals at shares of the {found.capacity:,.0f} requests a second that the "
        f"closed loop reached, over at most {EDGE_CONNECTIONS:,} connections (what Envoy lets "
        "through by default); a request that finds none free is not sent.",
        table(head, rows),
        f"Both processes grew by {grown:,.0f} MB in between. Right after it, one user got "
        f"{found.after.right:,} right answers, p50 {_latency(found.after, 'p50')} ms, "
        f"{found.after.faults} faults.",
    ]


def _edge(results: Results) -> list[str]:
    found = results.edge
    if found is None:
        return []
    latencies = [
        [title, f"{latency['p50_ms']:.2f}", f"{latency['p99_ms']:.2f}"]
        for title, latency in (
            *(("without", found.without), ("with", found.through)),
            *((f"with; {name}", latency) for name, latency in found.kept.items()),
        )
    ]
    checks = [
        [
            title,
            f"{item['concurrency']:.0f}",
            f"{item['per_second']:,.0f}",
            f"{1e6 / item['cpu_microseconds']:,.0f}",
            f"{item['p50_ms']:.2f}",
            f"{item['p99_ms']:.2f}",
        ]
        for title, items in found.checks.items()
        for item in items
    ]
    return [
        "## The edge",
        "The same picture to the transformer and through the edge (Envoy, the check of the key, "
        "intent and outcome committed to SQLite), in turns, one request at a time:",
        table(["the edge", "p50 ms", "p99 ms"], latencies),
        "The check alone, over gRPC, with keys that it knows; callers and check share the cores:",
        table(["", "at once", "a second", "a second of one core", "p50 ms", "p99 ms"], checks),
    ]


def _starts(results: Results) -> list[str]:
    rows = []
    for measured in next(iter(results.measured.values()), {}).values():
        for name, seconds in measured.start_seconds.items():
            idle, loaded = measured.idle.get(name), measured.loaded.get(name)
            rows.append(
                [
                    measured.title,
                    name,
                    f"{statistics.median(seconds):.2f}",
                    f"{min(seconds):.2f}",
                    str(len(seconds)),
                    f"{idle.resident / MB:,.0f}" if idle else "",
                    f"{idle.proportional / MB:,.0f}" if idle else "",
                    f"{loaded.resident / MB:,.0f}" if loaded else "",
                ]
            )
    head = [
        "", "program", "start s, median", "least", "starts", "idle MB resident", "proportional",
        "after load MB",
    ]  # fmt: skip
    return ["## Start and memory", table(head, rows)] if rows else []


def _costs(results: Results) -> list[str]:
    parts = []
    limit = results.limit(next(iter(results.limits), ""))
    for name, loads in results.batches.items():
        title = _titles(results).get(name, name)
        parts.append(f"### Images a request, {title}")
        rows = [
            [
                str(count),
                f"{load.images_a_second:,.0f}",
                f"{load.images_a_second / limit:.0%}" if limit else "",
                _latency(load, "p50"),
                f"{load.server_cpu_us_an_image:,.0f}",
                str(load.faults),
            ]
            for count, load in sorted(loads.items())
        ]
        head = ["images", "images/s", "of the limit", "p50 ms", "CPU µs an image", "faults"]
        parts.append(table(head, rows))
    if results.sides:
        parts.append("### Side of the picture in pixels, this service")
        rows = []
        for side, load in sorted(results.sides.items()):
            alone = results.side_costs.get(side)
            cost = (alone.decode_us_an_image + alone.forward_us_an_image) / 1e3 if alone else 0.0
            rows.append(
                [
                    str(side),
                    f"{load.images_a_second:,.0f}",
                    _latency(load, "p50"),
                    f"{load.server_cpu_us_an_image / 1e3:,.2f}",
                    f"{cost:,.2f}",
                    str(load.faults),
                ]
            )
        head = ["side", "images/s", "p50 ms", "CPU ms an image", "decode and forward ms", "faults"]
        parts.append(table(head, rows))
    return ["## Cost", *parts] if parts else []


def _profiles(results: Results) -> list[str]:
    if not results.profiles:
        return []
    titles = _titles(results)
    parts = ["## Where the time of one request goes"]
    for process in sorted({profile.process for profile in results.profiles}, reverse=True):
        found = [profile for profile in results.profiles if profile.process == process]
        packages = sorted(
            {name for profile in found for name, share in profile.shares.items() if share >= 0.01},
            key=lambda n: -max(profile.shares.get(n, 0.0) for profile in found),
        )
        rows = [
            [name, *(f"{p.shares.get(name, 0) * p.cpu_us_an_image:,.0f}" for p in found)]
            for name in packages
        ]
        rows.append(["*all*", *(f"{p.cpu_us_an_image:,.0f}" for p in found)])
        head = [f"{process}, CPU µs an image by package"]
        parts.append(table([*head, *(titles.get(p.candidate, p.candidate) for p in found)], rows))
    for profile in results.profiles:
        if profile.candidate == SERVICE:
            rows = [
                [f"`{name}`", f"{share * profile.cpu_us_an_image:,.0f}"]
                for name, share in profile.functions.items()
            ]
            parts.append(table([f"{profile.process}, heaviest functions", "µs an image"], rows))
    return parts


def _method(results: Results) -> str:
    scale = results.scale
    used, spans = 0.0, 0.0
    for load in _loads(results):
        used += load.generator_cpu_seconds
        spans += load.seconds
    settings = {
        m.title: m.setting for candidates in results.measured.values() for m in candidates.values()
    }
    lines = [
        f"- Spans of {scale.seconds:g} s after {scale.warm_seconds:g} s of warming up, candidates "
        "in turn, each alone, with the same weights and the same "
        f"{scale.known:,} images that the network is known to get right. An answer is right if "
        "its class is, and its probability to a hundredth of float32's; in bfloat16 a few are "
        "further off, and count as faults.",
        "- Closed loop: a connection sends its next request when the last is answered. Open loop: "
        "Poisson arrivals; latency counts from the moment at which a request should have been "
        "sent, so a server that stalls is charged for all that had to wait.",
        f"- The load generator shares the cores: it took {used / max(spans, 1e-9):.2f} of a core "
        "on average, which is not in *CPU µs an image* (user and system time of the servers' "
        "processes alone). It checks the answers when the clock has stopped.",
        "- The physical limit is one process a core that decodes the same PNGs with Pillow, "
        "normalises by table and runs the predictor's own forward pass in batches of 64, with the "
        "environment that the manifest gives the predictor. Its speed drifts with the machine's: "
        "shares of it are medians of rounds, each over the mean of the limits before and after it.",
        f"- The service runs as its manifest says, but for `VISION_MAX_INSTANCES={MAX_INSTANCES}`.",
        "- Peers run the plain network in evaluation mode. Who runs how:",
        *(f"  - {title}: {setting}" for title, setting in settings.items()),
    ]
    return "\n".join(lines)


def _machine(results: Results) -> str:
    machine = results.machine
    lines = [
        f"{machine.processor}, {machine.cores:g} cores, {machine.memory_bytes / 2**30:.0f} GiB; "
        f"{machine.system}; Python {machine.python}; load average before the run "
        f"{machine.load_average:.1f}.",
        table(
            ["environment", "versions"],
            [
                [name, ", ".join(f"{p} {v}" for p, v in versions.items())]
                for name, versions in machine.versions.items()
            ],
        ),
    ]
    return "\n\n".join(lines)


def _latency(load: LoadResult, name: str) -> str:
    return f"{load.latency_ms[name]:.2f}" if load.latency_ms else "–"


def _titles(results: Results) -> dict[str, str]:
    return {
        name: m.title for candidates in results.measured.values() for name, m in candidates.items()
    }


def _loads(results: Results) -> list[LoadResult]:
    loads = [*results.sides.values()]
    for batches in results.batches.values():
        loads += batches.values()
    for candidates in results.measured.values():
        for measured in candidates.values():
            loads += [*measured.closed.values(), *measured.opened.values()]
    return loads


def _busiest(results: Results) -> float:
    return max((load.others_cpu_seconds / load.seconds for load in _loads(results)), default=0.0)
