from __future__ import annotations

import urllib.request
from pathlib import Path

import matplotlib.pyplot as plt
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from PIL import Image

from benchmarks.otlp_receiver import ReceivedSpan, receiver
from benchmarks.trace import chosen, draw, in_order, shared_with

MS = 1_000_000


def span(
    trace: str, name: str, parent: str = "", start: int = 0, links: tuple[str, ...] = ()
) -> ReceivedSpan:
    """One that is called by its name, and takes 10 ms."""
    attributes = {"vision.requests": len(links)} if links else {}
    return ReceivedSpan(
        "vision-transformer",
        name,
        trace,
        f"{trace}:{name}",
        f"{trace}:{parent}" if parent else "",
        start * MS,
        (start + 10) * MS,
        attributes,
        [(other, f"{other}:root") for other in links],
        False,
    )


SPANS = [
    span("a", "hop", "batch", 2),
    span("a", "batch", "root", 1, ("a", "b")),
    span("a", "decode", "root", 0),
    span("a", "root"),
    span("b", "root"),
    span("b", "shared batch", "root", 1, ("a",)),
    span("c", "root"),
    span("c", "batch", "root", 1, ("c",)),
]


def test_the_largest_batch_is_shown_with_whom_it_was_shared() -> None:
    names = [(item.trace, item.name) for item in chosen(SPANS)]
    assert names == [
        ("a", "root"),
        ("a", "decode"),
        ("a", "batch"),
        ("a", "hop"),
        ("b", "root"),
        ("b", "shared batch"),
    ]


def test_parts_stand_below_what_they_are_parts_of() -> None:
    assert [item.name for item in in_order(SPANS[:4])] == ["root", "decode", "batch", "hop"]
    assert shared_with(SPANS[1]) == ", 2 requests, 2 links"
    assert shared_with(SPANS[3]) == ""


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    draw(chosen(SPANS), tmp_path / "trace.png")
    with Image.open(tmp_path / "trace.png") as picture:
        assert picture.width > 1000
    assert plt.get_fignums() == []


def test_a_receiver_reads_bodies_in_chunks() -> None:
    """As Envoy sends them."""
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    name = resource.resource.attributes.add(key="service.name")
    name.value.string_value = "x"
    resource.scope_spans.add().spans.add(name="a", trace_id=b"\1" * 16, span_id=b"\2" * 8)
    body = message.SerializeToString()
    with receiver() as (url, received):
        request = urllib.request.Request(f"{url}/v1/traces", iter([body[:5], body[5:]]))
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 200
    assert [(item.service, item.name, item.trace) for item in received.spans] == [
        ("x", "a", "01" * 16)
    ]
