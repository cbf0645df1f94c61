"""A served model without a server: what a request gets, for programs that ask by themselves."""

from __future__ import annotations

import time
from concurrent.futures import Executor
from typing import NamedTuple

from artifact import Contract
from serving.errors import ServingError
from serving.model import HttpRequest
from tasks import Question
from transformer.hop import PredictorClient
from transformer.settings import TransformerSettings
from transformer.tasks import model_for


class DirectError(RuntimeError):
    """No answer; the message is for people."""


class DirectReply(NamedTuple):
    """A reply's body, who gave it, and how long that took."""

    body: bytes
    revision: str
    digest: str
    seconds: float


class DirectModel:
    """One model of one predictor, with the same steps from request to reply as in serving.

    Args:
        contract: that pictures are prepared after, and answers written.
        executor: where pictures are decoded.
    """

    def __init__(
        self, name: str, contract: Contract, hop: PredictorClient, executor: Executor
    ) -> None:
        self.contract = contract
        settings = TransformerSettings.model_validate({})
        self._model = model_for(name, contract, hop, executor, settings)

    async def ask(self, question: Question) -> DirectReply:
        """Send one question.

        Raises:
            DirectError: it was refused, or the predictor did not answer.
        """
        headers = {"content-type": question.media_type, "accept": question.accept}
        request = HttpRequest(question.body, headers, question.query)
        started = time.perf_counter()
        try:
            answer = await self._model.answer(self._model.read_v1(request), headers)
            reply = self._model.write_v1(answer)
        except ServingError as error:
            raise DirectError(f"{type(error).__name__}: {error.message}") from None
        seconds = time.perf_counter() - started
        who = answer.answered
        return DirectReply(b"".join((reply.body, reply.rest)), who.revision, who.digest, seconds)
