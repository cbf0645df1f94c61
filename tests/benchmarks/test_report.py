"""Goals, report and plots of made-up results."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.edge import Edge
from benchmarks.generator import LoadResult
from benchmarks.goals import Goal, evaluate
from benchmarks.limit import LimitResult
from benchmarks.machine import Machine
from benchmarks.networks import SHIPPED, TWO_CONVOLUTIONS
from benchmarks.peers.registry import KSERVE_GRPC, KSERVE_V1, LITSERVE
from benchmarks.plots import draw_plots
from benchmarks.processes import Memory
from benchmarks.profile import package_of, summarise
from benchmarks.report import goals_table, write_report
from benchmarks.results import FULL, Measured, Overload, Profile, Results, Shares, read_results
from benchmarks.service import BFLOAT16, SERVICE


def load(images_a_second: float, p99: float, **changes: object) -> LoadResult:
    names = ("p50", "p90", "p95", "p99", "p99.9", "mean", "max")
    count = round(images_a_second * 8)
    result = LoadResult(
        8.0,
        sent=count,
        images=count,
        right=count,
        images_a_second=images_a_second,
        requests_a_second=images_a_second,
        latency_ms={name: p99 * (0.5 if name == "p50" else 1) for name in names},
        server_cpu_seconds=15.0,
        generator_cpu_seconds=0.5,
        others_cpu_seconds=0.1,
    )
    return replace(result, **changes)  # type: ignore[arg-type]


def measured(name: str, rate: float, p99: float) -> Measured:
    return Measured(
        name,
        f"The {name}",
        "as it comes",
        {"transformer": [0.7, 0.9, 0.75], "predictor": [1.7]}
        if name == SERVICE
        else {"server": [3.0]},
        {"transformer": Memory(120_000_000, 100_000_000), "predictor": Memory(400_000_000, 1)}
        if name == SERVICE
        else {"server": Memory(600_000_000, 1)},
        {},
        {1: load(rate / 4, p99 / 10), 64: load(rate, p99)},
        {rate * 0.5: load(rate / 2, p99), rate * 0.8: load(rate * 0.8, p99)},
    )


@pytest.fixture
def results() -> Results:
    machine = Machine("A processor", 2.0, 2**34, "Linux", "3.11", "abc", 0.1, {"x": {"torch": "1"}})
    found = Results(machine, FULL, "today", "drawn")
    found.limits = {SHIPPED: [LimitResult(10_000, 50, 150, 0), LimitResult(9_000, 50, 150, 0)]}
    found.measured = {
        SHIPPED: {
            SERVICE: measured(SERVICE, 6000, 20),
            LITSERVE: measured(LITSERVE, 1000, 80),
            "broken": Measured("broken", "Broken", "", error="it did not start"),
        },
        TWO_CONVOLUTIONS: {
            SERVICE: measured(SERVICE, 1800, 40),
            LITSERVE: measured(LITSERVE, 1300, 80),
            KSERVE_V1: measured(KSERVE_V1, 200, 300),
            KSERVE_GRPC: measured(KSERVE_GRPC, 500, 100),
        },
    }
    found.shares = Shares(
        [LimitResult(rate, 50, 150, 0) for rate in (10_000, 14_000, 10_000, 10_000)],
        {1: [load(rate, 9) for rate in (6000, 6060, 7000)], 64: [load(6500, 9) for _ in range(3)]},
    )
    found.batches = {SERVICE: {1: load(4000, 9), 64: load(6500, 9)}}
    found.sides = {28: load(100, 5), 4096: load(5, 500)}
    found.side_costs = {28: LimitResult(1, 50, 150, 0), 4096: LimitResult(1, 9e4, 150, 0)}
    over = load(5000, 45, sent=80_000, right=40_000, refused={"503": 40_000}, refusal_ms={"p99": 3})
    found.overload = Overload(6000, load(4800, 20), over, load(500, 1), 10**8, 2 * 10**8)
    check = {"cpu_microseconds": 250.0, "per_second": 2500.0, "p50_ms": 0.5}
    checks = [{"concurrency": n, "p99_ms": p99, **check} for n, p99 in ((1, 0.9), (64, 40.0))]
    edge = {"p50_ms": 2.0, "p99_ms": 3.5}
    found.edge = Edge(edge, {"p50_ms": 4.0, "p99_ms": 7.25}, {"cached, with intent": checks})
    found.profiles = [
        Profile(SERVICE, "transformer", 150.0, {"uvicorn": 0.6, "PIL": 0.4}, {"f (a.py)": 0.6})
    ]
    return found


def goal(results: Results, text: str) -> Goal:
    (found,) = [item for item in evaluate(results) if text in item.what]
    return found


def test_goals_that_are_met_and_missed(results: Results) -> None:
    met = {item.what: item.met for item in evaluate(results)}
    assert met == {
        "one image a request, 64 connections, float32": True,
        "its p99, float32": True,
        "one connection, p50": True,
        "64 images a request, share of the physical limit": False,
        "one image a request, share of the physical limit": True,
        "transformer: process start to first right answer": True,
        "predictor: process start to first right answer": True,
        "transformer: resident memory, idle": True,
        "predictor: resident memory, idle": False,
        "wake from zero to the first answer on a cluster, both hops": None,
        "overload at 4× capacity: p99 of accepted answers": True,
        "the rest of them": True,
        "two convolutions: images/s beside LitServe": False,
        "two convolutions: images/s beside the KServe sample, the faster protocol": True,
        "the edge's check, of one core": True,
        "its p99, one at a time": True,
        "answers that are right, each of its own request": True,
    }


def test_ratios_say_how_many_times_better(results: Results) -> None:
    assert goal(results, "64 connections").ratios == {LITSERVE: pytest.approx(6.0)}
    assert goal(results, "its p99, float32").ratios == {LITSERVE: pytest.approx(4.0)}
    assert goal(results, "transformer: process").ratios == {LITSERVE: pytest.approx(4.0)}
    assert goal(results, "beside LitServe").reached == "1.4×"
    assert goal(results, "the faster protocol").reached == "3.6×"


def test_bfloat16_is_judged_beside_float32(results: Results) -> None:
    results.measured[SHIPPED][SERVICE] = measured(SERVICE, 4000, 20)
    results.measured[SHIPPED][BFLOAT16] = measured(BFLOAT16, 6000, 10)
    assert goal(results, "64 connections, float32").met is False
    in_bfloat16 = goal(results, "64 connections, bfloat16")
    assert in_bfloat16.met is True
    assert in_bfloat16.ratios[SERVICE] == pytest.approx(1.5)


def test_a_share_is_of_the_limits_around_it(results: Results) -> None:
    many = goal(results, "64 images a request, share")
    assert many.reached == "54.2% (54% to 65% in 3 rounds)"
    assert many.met is False
    single = goal(results, "one image a request, share")
    assert single.reached == "50.5% (50% to 70% in 3 rounds)"
    assert single.met is True
    text = write_report(results, [])
    assert "| 2 | 14,000 | 10,000 | 6,060 | 50.5% | 6,500 | 54.2% |" in text
    assert "| *median* |  |  |  | 50.5% |  | 54.2% |" in text


def test_one_wrong_answer_is_a_goal_missed(results: Results) -> None:
    results.batches[SERVICE][64] = load(6500, 9, wrong=1)
    assert goal(results, "answers that are right").met is False


@pytest.mark.parametrize(
    "change", [{"refused_silently": 1}, {"failed": 1}, {"errors": {"500": 1}}, {"wrong": 1}]
)
def test_a_disorderly_overload_is_a_goal_missed(
    results: Results, change: dict[str, object]
) -> None:
    assert results.overload is not None
    over = replace(results.overload.over, **change)  # type: ignore[arg-type]
    results.overload = replace(results.overload, over=over)
    assert goal(results, "the rest").met is False


def test_a_service_that_does_not_run_meets_nothing(results: Results) -> None:
    for candidates in results.measured.values():
        candidates[SERVICE].error = "it did not start"
    results.batches, results.sides, results.shares = {}, {}, None
    results.overload, results.edge = None, None
    assert not any(item.met for item in evaluate(results))
    assert "it did not start" in write_report(results, [])


def test_results_survive_their_file(results: Results, tmp_path: Path) -> None:
    results.write(tmp_path / "deep" / "results.json")
    assert read_results(tmp_path / "deep" / "results.json") == results


def test_the_report_holds_every_figure(results: Results) -> None:
    text = write_report(results, ["throughput.png"])
    titles = {LITSERVE: "The litserve", KSERVE_V1: "v1", KSERVE_GRPC: "gRPC"}
    table = goals_table(evaluate(results), titles)
    assert "| 1.4× | **no** | 1.4× |" in table
    assert "| The litserve | 1,000 | 40.00 | 80.00 | 4.00 |" in text
    assert "did not run: it did not start" in text
    assert "*physical limit (before)* | 10,000" in text
    assert "40,000 × 503" in text
    assert "| uvicorn | 90 |" in text
    assert "| with | 4.00 | 7.25 |" in text
    assert "![throughput](plots/throughput.png)" in text
    assert "not quiet" not in text
    widths = {line.count("|") for line in table.splitlines()}
    assert len(widths) == 1


def test_a_noisy_machine_is_named(results: Results) -> None:
    results.sides[28] = load(100, 5, others_cpu_seconds=8.0)
    assert "The machine was not quiet**: other programs took up to 1.0 cores" in write_report(
        results, []
    )


def test_plots_are_pictures(results: Results) -> None:
    plots = draw_plots(results)
    assert set(plots) == {"throughput.png", "latency.png", "batch-size.png", "image-size.png"}
    for content in plots.values():
        assert Image.open(io.BytesIO(content)).width > 500


def test_no_figures_no_plots(results: Results) -> None:
    empty = Results(results.machine, FULL, "today", "drawn")
    assert draw_plots(empty) == {}
    assert "## Goals" in write_report(empty, [])


def test_profiles_by_package_and_function() -> None:
    stacks = (
        "main (runpy.py:5);run (asyncio/events.py:80) 3\n"
        "main (a.py:1);load (/x/lib/python3.11/site-packages/PIL/Image.py:7) 5\n"
        "main (a.py:1);load (/x/lib/python3.11/site-packages/PIL/Image.py:9) 1\n"
        "main (a.py:1);prepare (/srv/transformer/preprocess.py:3) 1\n"
    )
    packages, functions = summarise(stacks)
    assert packages == {"PIL": 0.6, "asyncio": 0.3, "transformer": 0.1}
    assert functions["load (/x/lib/python3.11/site-packages/PIL/Image.py)"] == 0.6
    assert package_of("serving/http.py") == "serving"
    assert package_of("<frozen os>") == "<frozen os>"
    assert package_of("selectors.py") == package_of("/usr/lib/python3/selectors.py") == "selectors"
