"""A gateway before a transformer before the fake cluster's pods: it splits as the Route says."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from artifact import Contract, open_revision
from tests.rollout.fake_cluster import FakeCluster
from tests.rollout.loopback import QuietHandler, served

BOUNDS = (0.01, 0.1, 1.0)


@dataclass
class Quality:
    """How a revision of the model answers.

    Attributes:
        wrong_every: one in so many answers is wrong; 0: none.
        fail_every: one in so many calls fails in its pod; 0: none.
        lost_every: one in so many calls comes to nothing before any pod saw it; 0: none.
        strange_every: one in so many answers comes from another artefact; 0: none.
    """

    wrong_every: int = 0
    fail_every: int = 0
    lost_every: int = 0
    strange_every: int = 0


def classified(body: bytes, contract: Contract, wrong: bool) -> bytes:
    """The label of an image is its first pixel's class."""
    (instance,) = json.loads(body)["instances"]
    picture = Image.open(io.BytesIO(base64.b64decode(instance["base64"])))
    label = (int(np.asarray(picture)[0, 0]) + wrong) % 10
    return json.dumps({"predictions": [{"label": contract.labels[label]}]}).encode()


@dataclass
class FakeGateway:
    """Answers ``:predict`` of one model.

    Attributes:
        render: the body of a 200 by request body, contract, and whether it is to be wrong.
        counted_as: model and protocol in the pods' metrics; the predictor's where None.
    """

    fake: FakeCluster
    model: str
    render: Callable[[bytes, Contract, bool], bytes] = classified
    counted_as: tuple[str, str] | None = None
    qualities: dict[str, Quality] = field(default_factory=dict)
    others_rate: int = 0
    hosts: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)
    calls: dict[str, int] = field(default_factory=dict)
    counted: dict[str, dict[str, int]] = field(default_factory=dict)
    debts: dict[str, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, body: bytes, host: str = "") -> tuple[int, dict[str, str], bytes]:
        with self.lock, self.fake.lock:
            for _ in range(self.others_rate):
                self._call(None)
            return self._call(body, host)

    def _call(self, body: bytes | None, host: str = "") -> tuple[int, dict[str, str], bytes]:
        knative = self.fake.tagged(host) or self._choose()
        revision = self.fake.models_of(knative)[self.model]
        number = self.calls[revision] = self.calls.get(revision, 0) + 1
        quality = self.qualities.get(revision, Quality())
        if _due(number, quality.lost_every):
            return 503, {}, b'{"error": "no healthy upstream"}'
        counts = self.counted.setdefault(knative, {})
        code = "500" if _due(number, quality.fail_every) else "200"
        counts[code] = counts.get(code, 0) + 1
        self.fake.metrics[knative] = self._metrics(revision, counts)
        if code != "200":
            return 502, {}, b'{"error": "the predictor failed"}'
        card = open_revision(self.fake.cards, self.model, revision)
        wrong = _due(number, quality.wrong_every)
        found = b"" if body is None else self.render(body, card.card.contract, wrong)
        digest = "sha256:strange" if _due(number, quality.strange_every) else card.digest
        headers = {"x-model-revision": revision, "x-model-digest": digest}
        return 200, headers, found

    def _choose(self) -> str:
        """By largest debt: the shares come out exact."""
        for name, percent in self.fake.split.items():
            self.debts[name] = self.debts.get(name, 0.0) + percent
        name = max(self.fake.split, key=lambda n: self.debts[n])
        self.debts[name] -= 100
        return name

    def _metrics(self, revision: str, counts: dict[str, int]) -> str:
        model, protocol = self.counted_as or (self.model, "v2")
        uncounted = "v1" if protocol == "v2" else "grpc"
        labels = f'model_name="{model}",protocol="{protocol}"'
        lines = ["# TYPE vision_requests counter"]
        for code, count in counts.items():
            owner = revision if code == "200" else ""
            lines.append(
                f'vision_requests_total{{{labels},revision="{owner}",code="{code}"}} {count}.0'
            )
        lines.append(
            f'vision_requests_total{{model_name="{model}",protocol="{uncounted}",'
            f'revision="{revision}",code="200"}} 7.0'
        )
        lines.append("# TYPE vision_request_seconds histogram")
        for bound in (*BOUNDS, "+Inf"):
            lines.append(
                f'vision_request_seconds_bucket{{{labels},revision="{revision}",le="{bound}"}} '
                f"{counts.get('200', 0)}.0"
            )
        return "\n".join(lines) + "\n"


def _due(number: int, every: int) -> bool:
    return every > 0 and number % every == 0


@contextmanager
def gateway_server(gateway: FakeGateway) -> Iterator[str]:
    """Serve ``gateway`` on a loopback port; gives its URL."""

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            gateway.hosts.add(self.headers["Host"])
            gateway.paths.add(self.path)
            status, headers, data = gateway.answer(body, self.headers["Host"])
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    with served(Handler) as url:
        yield url
