"""Labelled requests to the public URL, as users send theirs: base64 PNGs through the gateway."""

from __future__ import annotations

import base64
import io
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
from PIL import Image

from rollout.labelled import LabelledSet

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """What came of one request; ``status`` 0: nothing did.

    ``revision`` and ``digest`` are empty where the answer does not name them.
    """

    status: int
    revision: str
    digest: str
    correct: bool
    seconds: float


class LabelledTraffic:
    """Sends one image a request, over a few connections that stay open.

    Args:
        gateway: ``http(s)://host[:port]`` of the gateway; the URL's own host where empty.
        url: of the InferenceService; its host goes into the ``Host`` header.
        labels: the card's, in the order of the set's indices.
    """

    def __init__(
        self,
        url: str,
        gateway: str,
        model: str,
        questions: LabelledSet,
        labels: tuple[str, ...],
        connections: int = 4,
    ) -> None:
        host = urlsplit(url).netloc
        self._client = httpx.Client(
            base_url=gateway or url,
            headers={"host": host},
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )
        self._path = f"/v1/models/{model}:predict"
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix="traffic")
        self._questions = _bodies(questions, labels)

    def send(self, count: int) -> list[Answer]:
        """So many requests, a few at a time."""
        questions = list(itertools.islice(self._questions, count))
        return list(self._pool.map(self._ask, questions))

    def close(self) -> None:
        self._pool.shutdown()
        self._client.close()

    def _ask(self, question: tuple[bytes, str]) -> Answer:
        body, label = question
        started = time.perf_counter()
        try:
            response = self._client.post(
                self._path, content=body, headers={"content-type": "application/json"}
            )
            found = response.json()["predictions"][0]["label"] if response.is_success else ""
        except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError):
            return Answer(0, "", "", False, time.perf_counter() - started)
        return Answer(
            response.status_code,
            response.headers.get("x-model-revision", ""),
            response.headers.get("x-model-digest", ""),
            found == label,
            time.perf_counter() - started,
        )


def _bodies(questions: LabelledSet, labels: tuple[str, ...]) -> Iterator[tuple[bytes, str]]:
    """Request bodies and right labels, over and over."""
    made = []
    for image, label in zip(questions.images, questions.labels, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        text = base64.b64encode(buffer.getvalue()).decode()
        made.append((f'{{"instances": [{{"base64": "{text}"}}]}}'.encode(), labels[int(label)]))
    return itertools.cycle(made)
