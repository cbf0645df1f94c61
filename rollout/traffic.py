"""Labelled requests to the public URL, as users send theirs: one picture through the gateway."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from artifact import Contract
from rollout.labelled import LabelledSet
from tasks import AnswerError, find_task

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """What came of one request; ``status`` 0: nothing did, or nothing that can be read.

    Attributes:
        revision, digest: empty where the answer does not name them.
        score: how right it is, from 0 to 1.
    """

    status: int
    revision: str
    digest: str
    score: float
    seconds: float


class LabelledTraffic:
    """Sends one image a request, over a few connections that stay open.

    Args:
        gateway: ``http(s)://host[:port]`` of the gateway; the URL's own host where empty.
        url: of the InferenceService; its host goes into the ``Host`` header.
        model: as it is called in the URL.
        contract: of the new revision; its task asks and judges.
        others: of revisions that have another one.
    """

    def __init__(
        self,
        url: str,
        gateway: str,
        model: str,
        questions: LabelledSet,
        contract: Contract,
        connections: int = 4,
        others: Mapping[str, Contract] | None = None,
    ) -> None:
        host = urlsplit(url).netloc
        self._client = httpx.Client(
            base_url=gateway or url,
            headers={"host": host},
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )
        self.task = find_task(contract.task)
        self._contract = contract
        self._others = others or {}
        self._path = f"/v1/models/{model}:predict"
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix="traffic")
        self._set = questions
        self._numbers = itertools.cycle(range(len(questions)))

    def send(self, count: int) -> list[Answer]:
        """So many requests, a few at a time."""
        return list(self._pool.map(self._ask, itertools.islice(self._numbers, count)))

    def close(self) -> None:
        self._pool.shutdown()
        self._client.close()

    def _ask(self, number: int) -> Answer:
        question = self.task.question(self._set.picture(number))
        headers = {"content-type": question.media_type, "accept": question.accept}
        path = f"{self._path}?{question.query}" if question.query else self._path
        started = time.perf_counter()
        try:
            response = self._client.post(path, content=question.body, headers=headers)
        except httpx.HTTPError:
            return Answer(0, "", "", 0.0, time.perf_counter() - started)
        seconds = time.perf_counter() - started
        revision = response.headers.get("x-model-revision", "")
        digest = response.headers.get("x-model-digest", "")
        try:
            score = self._score(response, revision, number) if response.is_success else 0.0
        except AnswerError:
            return Answer(0, revision, digest, 0.0, seconds)
        return Answer(response.status_code, revision, digest, score, seconds)

    def _score(self, response: httpx.Response, revision: str, number: int) -> float:
        home = self._contract
        contract = self._others.get(revision, home)
        answer = self.task.read_answer_as(home, contract, response.content)
        return self.task.score(home, answer, self._set.labels[number])
