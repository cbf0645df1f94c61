"""One trace as a picture: ``python -m benchmarks.trace [FILE]``.

Starts what ``make up`` does on free ports, with a receiver of spans, warms the transformer up until
requests share calls freely, sends several to the edge at once, and draws the trace of the largest
batch: every span of it, and those of the requests that shared the batch, beside each other.
"""

from __future__ import annotations

import argparse
import http.client
import io
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from benchmarks.otlp_receiver import ReceivedSpan, receiver
from common.errors import StartError
from common.ports import LOCAL_HOST, free_row
from common.processes import ROOT, Processes

PATH = "/v1/models/mnist:predict"
SAMPLE = ROOT / "samples" / "three.jpg"
WARM_UP = 2_400
"""Until 1,000 calls came from one artefact, a call carries two requests (docs/scheduling.md)."""
TOGETHER = 6
ROUNDS = 8
START_SECONDS = 120.0
COLOURS = {"vision-edge": "#8a6d3b", "vision-transformer": "#2b6cb0", "vision-predictor": "#2f855a"}
NAMES = {
    "async envoy.service.auth.v3.Authorization.Check egress": "check",
    "async envoy.service.ext_proc.v3.ExternalProcessor.Process egress": "meter",
}
"""Of Envoy's own calls."""
LEFT_OUT = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


def picture() -> bytes:
    """A sample in the network's own size, decoded at once: what comes together stays together."""
    buffer = io.BytesIO()
    Image.open(SAMPLE).convert("L").resize((28, 28)).save(buffer, "PNG")
    return buffer.getvalue()


def ask(port: int, address: str, headers: dict[str, str], times: int = 1) -> None:
    """Send the picture from one of the loopback addresses.

    Raises:
        StartError: it is not answered.
    """
    body = picture()
    client = http.client.HTTPConnection(LOCAL_HOST, port, 20, source_address=(address, 0))
    for _ in range(times):
        client.request("POST", PATH, body, {"content-type": "image/png", **headers})
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
                shares = [LOCAL_HOST] * 4
                for _ in threads.map(
                    lambda address: ask(
                        port + 1, address, {"traceparent": LEFT_OUT}, WARM_UP // len(shares)
                    ),
                    shares,
                ):
                    pass
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


def shared_with(span: ReceivedSpan) -> str:
    """How many requests a span is of, and what it links to."""
    count, links = span.attributes.get("vision.requests", 0), len(span.links)
    requests = f", {count} request{'s' * (count != 1)}" if count else ""
    return requests + (f", {links} link{'s' * (links != 1)}" if links else "")


def draw(spans: Sequence[ReceivedSpan], path: Path) -> None:
    """A bar a span, coloured by the process; a line where another trace begins."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    started = min(span.start_ns for span in spans)
    figure, axes = plt.subplots(figsize=(11, 0.27 * len(spans) + 1.2))
    for row, span in enumerate(spans):
        left, width = (span.start_ns - started) / 1e6, (span.end_ns - span.start_ns) / 1e6
        axes.barh(row, width, left=left, height=0.7, color=COLOURS.get(span.service, "#888888"))
        text = f"{NAMES.get(span.name, span.name)}{shared_with(span)}  {width:.2f} ms"
        axes.annotate(
            text, (left + width, row), (4, 0), textcoords="offset points", va="center", fontsize=7
        )
        if row and span.trace != spans[row - 1].trace:
            axes.axhline(row - 0.5, color="#bbbbbb", linewidth=0.8)
    axes.set_yticks([])
    axes.set_ylim(len(spans) - 0.4, -0.6)
    right = max(span.end_ns - started for span in spans) / 1e6
    axes.set_xlim(0, right * 1.3)
    axes.set_xlabel("milliseconds")
    used = [name for name in COLOURS if any(span.service == name for span in spans)]
    handles = [Rectangle((0, 0), 1, 1, color=COLOURS[name]) for name in used]
    axes.legend(
        handles, used, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=8, frameon=False
    )
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


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
