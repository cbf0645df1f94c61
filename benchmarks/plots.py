"""The report's plots, as PNGs."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import matplotlib

from benchmarks.networks import TITLES
from benchmarks.results import Results
from benchmarks.service import SERVICE

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

PERCENTILES = ("p50", "p95", "p99")
STYLES = {"p50": "-", "p95": "--", "p99": ":"}


def draw_plots(results: Results) -> dict[str, bytes]:
    """PNGs by file name; those that the run has no figures for are left out."""
    drawn: dict[str, Callable[[Results], Figure | None]] = {
        "throughput.png": throughput,
        "latency.png": latency,
        "batch-size.png": batch_size,
        "image-size.png": image_size,
    }
    found = {}
    for name, draw in drawn.items():
        figure = draw(results)
        if figure is not None:
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
            plt.close(figure)
            found[name] = buffer.getvalue()
    return found


def throughput(results: Results) -> Figure | None:
    """Right answers a second over connections, a panel a network."""
    if not results.measured:
        return None
    figure, panels = plt.subplots(
        1, len(results.measured), figsize=(6 * len(results.measured), 5), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes, (revision, candidates) in zip(panels[0], results.measured.items(), strict=True):
        for measured in candidates.values():
            points = sorted(measured.closed.items())
            axes.plot(
                [connections for connections, _ in points],
                [result.images_a_second for _, result in points],
                marker="o",
                label=measured.title,
                **_style(results, measured.name),
            )
        limit = results.limit(revision)
        if limit:
            axes.axhline(limit, color="grey", linestyle="--", label="physical limit")
        _logarithmic(axes, "connections", "images a second", TITLES[revision])
        axes.legend(fontsize=8)
    return figure


def latency(results: Results) -> Figure | None:
    """Percentiles over the open arrival rate, from the intended moment of each request."""
    panels = [
        (revision, [m for m in candidates.values() if any(o.right for o in m.opened.values())])
        for revision, candidates in results.measured.items()
    ]
    panels = [(revision, found) for revision, found in panels if found]
    if not panels:
        return None
    figure, all_axes = plt.subplots(
        1, len(panels), figsize=(6 * len(panels), 5), squeeze=False, layout="constrained"
    )
    for axes, (revision, found) in zip(all_axes[0], panels, strict=True):
        for measured in found:
            points = sorted((r, o) for r, o in measured.opened.items() if o.right)
            for percentile in PERCENTILES:
                axes.plot(
                    [rate for rate, _ in points],
                    [result.latency_ms[percentile] for _, result in points],
                    STYLES[percentile],
                    color=_style(results, measured.name)["color"],
                    label=measured.title if percentile == "p50" else None,
                )
        title = f"{TITLES[revision]} ({', '.join(f'{p} {STYLES[p]}' for p in PERCENTILES)})"
        _logarithmic(axes, "requests a second, Poisson arrivals", "milliseconds", title)
        axes.legend(fontsize=8)
    return figure


def batch_size(results: Results) -> Figure | None:
    """CPU time and images a second over images a request."""
    if not results.batches:
        return None
    figure, (cost, rate) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    for name, loads in results.batches.items():
        title = next(m[name].title for m in results.measured.values() if name in m)
        points = sorted((count, load) for count, load in loads.items() if load.images)
        counts = [count for count, _ in points]
        style = _style(results, name)
        cost.plot(
            counts, [load.server_cpu_us_an_image for _, load in points], "o-", label=title, **style
        )
        rate.plot(counts, [load.images_a_second for _, load in points], "o-", label=title, **style)
    limit = results.limit(next(iter(results.limits), ""))
    if limit:
        rate.axhline(limit, color="grey", linestyle="--", label="physical limit")
    _logarithmic(cost, "images a request", "CPU microseconds an image", "cost over batch size")
    _logarithmic(rate, "images a request", "images a second", "throughput over batch size")
    cost.legend(fontsize=8)
    rate.legend(fontsize=8)
    return figure


def image_size(results: Results) -> Figure | None:
    """CPU time over the picture's side, beside decoding and forward pass alone."""
    points = sorted((s, load) for s, load in results.sides.items() if load.images)
    if not points:
        return None
    figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
    axes.plot(
        [side for side, _ in points],
        [load.server_cpu_us_an_image / 1e3 for _, load in points],
        "o-",
        label="this service",
        **_style(results, SERVICE),
    )
    limits = sorted(results.side_costs.items())
    axes.plot(
        [side for side, _ in limits],
        [(item.decode_us_an_image + item.forward_us_an_image) / 1e3 for _, item in limits],
        "o--",
        color="grey",
        label="decoding and forward pass alone",
    )
    _logarithmic(axes, "side in pixels", "CPU milliseconds an image", "cost over image size")
    axes.legend(fontsize=8)
    return figure


def _style(results: Results, name: str) -> dict[str, Any]:
    """A candidate's colour is the same in every panel; the service stands out."""
    if name == SERVICE:
        return {"color": "black", "linewidth": 2.5}
    names = [n for candidates in results.measured.values() for n in candidates if n != SERVICE]
    return {"color": f"C{list(dict.fromkeys(names)).index(name)}"}


def _logarithmic(axes: Axes, horizontal: str, vertical: str, title: str) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
    axes.set(xlabel=horizontal, ylabel=vertical, title=title)
    axes.grid(alpha=0.3)
