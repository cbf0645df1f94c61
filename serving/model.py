"""The interface between the protocol edges (HTTP, gRPC) and a model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson
from kserve.model import Model

from common.predicted import Predicted
from serving.errors import UnavailableError
from serving.fast_path import FastPath

CONTRACT_DIGEST = "contract_digest"
"""v2 request parameter with which a transformer says what contract its tensors follow."""

BATCH_INSTANCES = "batch_instances"
"""v2 answer parameter: most instances that the predictor computes together now. A call of more is
cut into pieces there, and answered when the last of them is."""


class HttpRequest(NamedTuple):
    """One HTTP request, its body read whole; header names are lower-case."""

    body: bytes
    headers: Mapping[str, str]
    query: str = ""

    @property
    def media_type(self) -> str:
        """The content type without parameters, lower-case; empty where there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Reply(NamedTuple):
    """One HTTP answer.

    Attributes:
        rest: bytes that follow ``body``: a view of what is too large to be copied.
    """

    body: bytes
    media_type: str = "application/json"
    headers: Mapping[str, str] = MappingProxyType({})
    rest: memoryview = memoryview(b"")

    @property
    def size(self) -> int:
        """Bytes of ``body`` and ``rest`` together."""
        return len(self.body) + len(self.rest)


def json_reply(document: object, headers: Mapping[str, str] = MappingProxyType({})) -> Reply:
    """A JSON answer that ends its line, as a terminal wants it and no parser minds.

    Args:
        document: may hold numpy arrays.
    """
    body = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
    return Reply(body, headers=headers)


class Answered(NamedTuple):
    """What every answer says of itself, whatever protocol it leaves by.

    Attributes:
        revision: of the model, as its card names it.
        digest: of the artefact (of its ``model.json``, which names the weights' digest).
        instances: how many instances were answered.
        takes_pixels: whether who answered takes pictures as bytes, too.
        batch_instances: most that who answered computes together now; 0 where it does not say.
    """

    revision: str
    digest: str
    instances: int
    takes_pixels: bool = False
    batch_instances: int = 0


class ServedModel(Model):
    """A ``kserve.Model`` whose payloads are read and written by itself, one pair per protocol.

    The edges do: read, ``answer`` (KServe's ``__call__``: its hooks preprocess, predict and
    postprocess, with its metrics), write. So whatever the protocol, one handler answers.

    Attributes:
        fast_path: calls the hooks instead of KServe's ``__call__``, where it is set.
        on_demand: its requests load it; ``ready`` says whether it is in memory, and the server is
            ready without it.
    """

    fast_path: FastPath | None = None
    on_demand: bool = False

    async def answer(self, payload: Any, headers: Mapping[str, str] | None = None) -> Any:
        """What the three hooks make of a payload."""
        if self.fast_path is not None:
            return await self.fast_path(payload, headers or {})
        found: Any = await self(payload, dict(headers or {}))
        return found[0]

    def validate(self, payload: Any) -> Any:
        """Nothing: KServe's looks for protocols' fields, which have been read by then."""
        return payload

    async def preprocess(self, payload: Any, headers: Mapping[str, str] | None = None) -> Any:
        return payload

    @abstractmethod
    async def predict(
        self,
        payload: Any,
        headers: Mapping[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> Any:
        """The answer to what ``preprocess`` made."""

    async def postprocess(
        self,
        result: Any,
        headers: Mapping[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> Any:
        """Nothing: what is made of an answer depends on the protocol it leaves by."""
        return result

    @abstractmethod
    def read_v1(self, request: HttpRequest) -> Any:
        """The payload of a v1 ``:predict`` request."""

    @abstractmethod
    def read_v2(self, request: HttpRequest) -> Any:
        """The payload of a v2 ``/infer`` request."""

    @abstractmethod
    def write_v1(self, answer: Any) -> Reply:
        """The v1 reply."""

    @abstractmethod
    def write_v2(self, answer: Any) -> Reply:
        """The v2 reply."""

    def predicted(self, answer: Any) -> Iterable[Predicted]:
        """The label that was named first for each instance; none where answers name none."""
        return ()

    async def started(self) -> None:
        """What may happen beside the first requests; called once, in the background."""

    async def close(self) -> None:
        """Let go of connections; called once, when the server has stopped taking requests."""

    def require_ready(self) -> None:
        if not self.ready and not self.on_demand:
            raise UnavailableError(f"model {self.name} is not ready")


def revision_headers(name: str, answered: Answered) -> dict[str, str]:
    """Response headers that say which revision answered."""
    return {
        "x-model-name": name,
        "x-model-revision": answered.revision,
        "x-model-digest": answered.digest,
        "x-model-instances": str(answered.instances),
    }
