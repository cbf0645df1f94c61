"""The gate of one pod: the same labelled pictures to the tag addresses of both revisions.

A tag's address leads to one Knative revision, past the split, and a pod takes pictures there as
users send them. So nothing has to run on the cluster for it: this program asks both itself, by the
gateway that users come by, and each answers after its own contract.
"""

from __future__ import annotations

import asyncio
import time

import httpx

from artifact import Contract, ModelCard
from rollout.errors import RefusedError
from rollout.gate import CALL_SECONDS, Comparison, compare
from rollout.gate_job import tag_hosts
from rollout.inferenceservice import InferenceService
from rollout.labelled import LabelledSet
from rollout.waiting import Waiting
from tasks import Question
from transformer.direct import DirectError, DirectReply

WAKE_SECONDS = 120.0


class TagModel:
    """One revision of a model at the address of its tag.

    Args:
        gateway: ``http(s)://host[:port]``.
        host: of the tag, by which the gateway finds the revision.
        model: as it is called in the URL.
        contract: that its answers are of.
    """

    def __init__(
        self, client: httpx.AsyncClient, gateway: str, host: str, model: str, contract: Contract
    ) -> None:
        self.contract = contract
        self._client = client
        self._url = f"{gateway}/v1/models/{model}:predict"
        self._host = host

    async def ask(self, question: Question) -> DirectReply:
        """See ``Asked``."""
        url = f"{self._url}?{question.query}" if question.query else self._url
        headers = {
            "host": self._host,
            "content-type": question.media_type,
            "accept": question.accept,
        }
        started = time.perf_counter()
        try:
            response = await self._client.post(url, content=question.body, headers=headers)
        except httpx.HTTPError as error:
            raise DirectError(f"{type(error).__name__}: {error}") from None
        if not response.is_success:
            raise DirectError(f"status {response.status_code}: {response.text[:200]}")
        return DirectReply(
            response.content,
            response.headers.get("x-model-revision", ""),
            response.headers.get("x-model-digest", ""),
            time.perf_counter() - started,
        )


def run_tag_gate(
    waiting: Waiting,
    service: InferenceService,
    gateway: str,
    card: ModelCard,
    stable_card: ModelCard | None,
    questions: LabelledSet,
) -> Comparison:
    """Ask both revisions of one pod.

    Args:
        gateway: address of the gateway; the tags' own where empty.
        card: of the new revision.
        stable_card: of the stable one; None where its contract is the same.

    Raises:
        RefusedError: one of the two did not answer.
        NotFoundError: there is no tag to reach the two at.
    """
    hosts = tag_hosts(service.targets)
    contracts = {"latest": card.contract, "prev": (stable_card or card).contract}
    name = service.served_as(card.name)

    async def ask_both() -> Comparison:
        async with httpx.AsyncClient(timeout=CALL_SECONDS, trust_env=False) as client:
            prev, latest = (
                TagModel(
                    client, gateway or f"http://{hosts[tag]}", hosts[tag], name, contracts[tag]
                )
                for tag in ("prev", "latest")
            )
            return await compare(card.name, questions, prev, latest, WAKE_SECONDS, waiting.keep)

    waiting.say(f"gate: {len(questions)} images to {hosts['prev']} and {hosts['latest']}")
    try:
        return asyncio.run(ask_both())
    except DirectError as error:
        raise RefusedError(f"at the gate there was no answer: {error}") from None
