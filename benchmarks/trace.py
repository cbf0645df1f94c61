"""One trace as a picture: ``python -m benchmarks.trace [FILE]``.

Starts what ``make up`` does on free ports, with a receiver of spans, warms the transformer up until
requests share calls freely, sends several to the edge at once, and draws the trace of the largest
batch: every span of it, and those of the requests that shared the batch, beside each other.
"""

from __future__ import annotations

import argparse
import http.client
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.otlp_receiver import ReceivedSpan, receiver
from common.errors import StartError
from common.ports import LOCAL_HOST, free_row
from common.processes import ROOT, Processes

PATH = "/v1/models/mnist:predict"
PICTURE = ROOT / "samples" / "three.jpg"
WARM_UP = 1_100
"""Until 1,000 calls came from one artefact, a call carries two requests (docs/scheduling.md)."""
TOGETHER = 6
ROUNDS = 8
START_SECONDS = 120.0
COLOURS = {"vision-edge": "#8a6d3b", "vision-transformer": "#2b6cb0", "vision-predictor": "#2f855a"}
LEFT_OUT = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


def ask(port: int, address: str, headers: dict[str, str], times: int = 1) -> None:
    """Send the picture from one of the loopback addresses.

    Raises:
        StartError: it is not answered.
    """
    client = http.client.HTTPConnection(LOCAL_HOST, port, 20, source_address=(address, 0))
    for _ in range(times):
        client.request(
            "POST", PATH, PICTURE.read_bytes(), {"content-type": "image/jpeg", **headers}
        )
        answer = client.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise StartError(f"status {answer.status}: {text.decode()}")
    client.close()


def collect(folder: Path) -> list[ReceivedSpan]:
    """The spans of requests that were sent together.

    Raises:
        StartError: something does not start or answer.
    """
    with receiver() as (url, received):
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = url
        os.environ["OTEL_BSP_SCHEDULE_DELAY"] = "200"
        port = free_row(3)[0]
        with Processes(folder, logged=("service",)) as processes:
            database = f"sqlite:///{folder}/accounts.db"
            arguments = ["-m", "edge.up", "--port", str(port), "--database", database]
            processes.start("service", [sys.executable, *arguments], {})
            # The page is started last, when every model has answered.
            processes.wait_for_url("service", f"http://{LOCAL_HOST}:{port}/", START_SECONDS)
            with ThreadPoolExecutor(4) as threads:
                for _ in range(4):
                    left_out = {"traceparent": LEFT_OUT}
                    threads.submit(ask, port + 1, LOCAL_HOST, left_out, WARM_UP // 4)
            for _ in range(ROUNDS):
                with ThreadPoolExecutor(TOGETHER) as threads:
                    # Each from an address of its own: tries without a key are few at a time.
                    addresses = [f"127.0.1.{number + 1}" for number in range(TOGETHER)]
                    list(threads.map(lambda address: ask(port, address, {}), addresses))
                time.sleep(0.5)
        # What was recorded last is sent when the servers end.
        return list(received.spans)


def chosen(spans: Sequence[ReceivedSpan]) -> list[ReceivedSpan]:
    """The trace with the largest batch, and what the others that shared it waited for."""
    batches = [span for span in spans if span.name == "batch"]
    batch = max(batches, key=lambda span: len(span.links))
    others = {trace for trace, _ in batch.links} - {batch.trace}
    own = in_order([span for span in spans if span.trace == batch.trace])
    for trace in sorted(others):
        own += in_order([s for s in spans if s.trace == trace and s.name != "hop"])
    return own


def in_order(spans: Sequence[ReceivedSpan]) -> list[ReceivedSpan]:
    """A span before its parts, which are in the order of their beginnings."""
    ids = {span.span for span in spans}
    found: list[ReceivedSpan] = []

    def add(parent: str | None) -> None:
        parts = [s for s in spans if (s.parent if s.parent in ids else None) == parent]
        for span in sorted(parts, key=lambda span: span.start_ns):
            found.append(span)
            add(span.span)

    add(None)
    return found


def draw(spans: Sequence[ReceivedSpan], path: Path) -> None:
    """A bar a span, coloured by the process; a line where another trace begins."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    started = min(span.start_ns for span in spans)
    figure, axes = plt.subplots(figsize=(11, 0.27 * len(spans) + 1.2))
    for row, span in enumerate(spans):
        left, width = (span.start_ns - started) / 1e6, (span.end_ns - span.start_ns) / 1e6
        axes.barh(row, width, left=left, height=0.7, color=COLOURS.get(span.service, "#888888"))
        shared = (
            f", {span.attributes['vision.requests']} requests"
            if "vision.requests" in (span.attributes)
            else ""
        )
        links = f", {len(span.links)} links" if span.links else ""
        text = f"{span.name}{shared}{links}  {width:.2f} ms"
        axes.annotate(
            text, (left + width, row), (4, 0), textcoords="offset points", va="center", fontsize=7
        )
        if row and span.trace != spans[row - 1].trace:
            axes.axhline(row - 0.5, color="#bbbbbb", linewidth=0.8)
    axes.set_yticks([])
    axes.set_ylim(len(spans) - 0.4, -0.6)
    right = max(span.end_ns - started for span in spans) / 1e6
    axes.set_xlim(0, right * 1.35)
    axes.set_xlabel("milliseconds")
    used = [name for name in COLOURS if any(span.service == name for span in spans)]
    handles = [Rectangle((0, 0), 1, 1, color=COLOURS[name]) for name in used]
    axes.legend(handles, used, loc="lower right", fontsize=8, frameon=False)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trace", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=ROOT / "build" / "trace.png")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as name:
            spans = collect(Path(name))
    except StartError as error:
        print(f"trace: {error}", file=sys.stderr)
        return 1
    found = chosen(spans)
    options.file.parent.mkdir(parents=True, exist_ok=True)
    draw(found, options.file)
    print(f"{len(found)} spans: {options.file}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
