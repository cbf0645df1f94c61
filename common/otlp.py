"""OpenTelemetry by its standard variables: what is switched on, and metrics that are pushed.

A pod that goes takes its counters along unless somebody has read them. Pushed by interval, and once
more when a server has stopped, they are all there: each process is an instance of its own
(``service.instance.id``) whose counters only grow, so their sum over instances is what was counted.

The SDK is imported where it is switched on, and nowhere else: it takes 0.2 s and some megabytes.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import Metric

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import export
    from opentelemetry.sdk.resources import Resource

INTERVAL_MS = "60000"
INSTANCE_ID = str(uuid.uuid4())
_STARTED_NS = time.time_ns()
_UNITS = {"_seconds": "s", "_bytes": "By"}

logger = logging.getLogger("otlp")


def is_switched_on(signal: str, environment: Mapping[str, str]) -> bool:
    """Whether ``OTEL_*`` ask for ``traces`` or ``metrics``.

    An endpoint of everything (``OTEL_EXPORTER_OTLP_ENDPOINT``), which KServe's ``spec.tracing``
    sets, switches traces on, and metrics only where their exporter is named as well: they are
    scraped where nothing else is said.
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    name = signal.upper()
    exporter = environment.get(f"OTEL_{name}_EXPORTER", "").strip()
    if exporter:
        return exporter == "otlp"
    own = environment.get(f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT")
    everything = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") if signal == "traces" else None
    return bool(own or everything)


def warn_of_grpc(signal: str, environment: Mapping[str, str]) -> None:
    """Say it where what is asked for is OTLP over gRPC, which is not spoken here."""
    for infix in (f"{signal.upper()}_", ""):
        protocol = environment.get(f"OTEL_EXPORTER_OTLP_{infix}PROTOCOL", "")
        endpoint = environment.get(f"OTEL_EXPORTER_OTLP_{infix}ENDPOINT", "")
        if protocol == "grpc" or endpoint.rstrip("/").endswith(":4317"):
            logger.warning(
                "%s are sent as OTLP over HTTP; name the collector's port for that, usually 4318",
                signal,
            )
            return


def resource(service: str) -> Resource:
    """What this process is: ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` come first.

    Args:
        service: its name where they say none.
    """
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    from common.own_resource import OwnResource

    ours = Resource({"service.name": service, "service.instance.id": INSTANCE_ID})
    return OwnResource(Resource.create().merge(ours).merge(OTELResourceDetector().detect()))


class MetricPush:
    """Sends what a registry has to ``OTEL_EXPORTER_OTLP_METRICS_ENDPOINT``, in a thread.

    Args:
        service: see ``resource``; without ``vision-`` it is every point's ``component``, as scraped
            ones have it from the pod's label.
    """

    def __init__(
        self,
        service: str,
        environment: Mapping[str, str],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        from common.zeros import Zeros

        warn_of_grpc("metrics", environment)
        self._registry = registry
        self._more = {"component": service.removeprefix("vision-")}
        self._resource = resource(service)
        self._exporter = OTLPMetricExporter()
        self._zeros = Zeros(_STARTED_NS)
        milliseconds = environment.get("OTEL_METRIC_EXPORT_INTERVAL") or INTERVAL_MS
        self._seconds = max(0.1, float(milliseconds) / 1000)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metric-push", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send once more, what has been counted since the last time, and end."""
        self._ended.set()
        self._thread.join()
        self._send()
        self._exporter.shutdown()

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            self._send()

    def _send(self) -> None:
        from opentelemetry.sdk.metrics import export
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        now = time.time_ns()
        try:
            metrics = to_otlp(self._registry, now, self._more)
            scope = InstrumentationScope("vision")
            spoken = export.ScopeMetrics(scope, self._zeros.added(metrics), "")
            of = export.ResourceMetrics(self._resource, [spoken], "")
            sent = self._exporter.export(export.MetricsData([of]))
        except Exception:
            logger.exception("metrics could not be sent")
            return
        if sent is not export.MetricExportResult.SUCCESS:
            logger.warning("metrics could not be sent; the next time they are, all are")
            return
        self._zeros.arrived(metrics, now)


def to_otlp(
    registry: CollectorRegistry, now: int, more: Mapping[str, str] = MappingProxyType({})
) -> list[export.Metric]:
    """What a registry has, as OpenTelemetry's cumulative data points.

    Args:
        now: nanoseconds since 1970, of all points.
        more: attributes of every point beside its metric's labels.
    """
    from opentelemetry.sdk.metrics import export

    return [
        export.Metric(metric.name, metric.documentation, _unit(metric.name), data)
        for metric in registry.collect()
        if (data := _data(metric, now, more)) is not None
    ]


def _unit(name: str) -> str:
    # Not "1": of a level with that, Prometheus would make another name, with `_ratio`.
    return next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")


def _data(
    metric: Metric, now: int, more: Mapping[str, str]
) -> export.Sum | export.Gauge | export.Histogram | None:
    """None for what has no sample."""
    from opentelemetry.sdk.metrics import export

    cumulative = export.AggregationTemporality.CUMULATIVE
    if metric.type == "histogram":
        points = list(_histograms(metric, now, more))
        return export.Histogram(points, cumulative) if points else None
    numbers = [
        export.NumberDataPoint({**sample.labels, **more}, _STARTED_NS, now, sample.value)
        for sample in metric.samples
        if not sample.name.endswith("_created")
    ]
    if not numbers:
        return None
    if metric.type == "counter":
        return export.Sum(numbers, cumulative, is_monotonic=True)
    return export.Gauge(numbers)


def _histograms(
    metric: Metric, now: int, more: Mapping[str, str]
) -> Iterator[export.HistogramDataPoint]:
    from opentelemetry.sdk.metrics import export

    buckets: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in metric.samples:
        key = tuple((name, value) for name, value in sample.labels.items() if name != "le")
        if sample.name.endswith("_bucket"):
            buckets.setdefault(key, []).append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_sum"):
            sums[key] = sample.value
    for key, found in buckets.items():
        found.sort()
        cumulative = [count for _, count in found]
        counts = [
            int(count - before)
            for count, before in zip(cumulative, [0.0, *cumulative], strict=False)
        ]
        yield export.HistogramDataPoint(
            attributes={**dict(key), **more},
            start_time_unix_nano=_STARTED_NS,
            time_unix_nano=now,
            count=int(cumulative[-1]),
            sum=sums.get(key, 0.0),
            bucket_counts=counts,
            explicit_bounds=[bound for bound, _ in found if math.isfinite(bound)],
            # What the SDK gives where it records neither.
            min=math.inf,
            max=-math.inf,
        )
