"""The fast path beside KServe's own ``__call__``: the same hooks, answers, errors and counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from kserve.metrics import POST_HIST_TIME, PRE_HIST_TIME, PREDICT_HIST_TIME

from serving.errors import OverloadedError, ServingError
from serving.fast_path import FastPath
from tests.serving.fake import Numbers, SumModel, sample

STAGES = ("preprocess", "predict", "postprocess")


class Watched(SumModel):
    """Notes which hook was called with what; fails in one of them, where it is told."""

    def __init__(self, name: str, fails_in: str = "") -> None:
        super().__init__(name)
        self.fails_in = fails_in
        self.seen: list[tuple[str, Any, Mapping[str, str]]] = []

    def note(self, hook: str, payload: Any, headers: Mapping[str, str] | None) -> None:
        self.seen.append((hook, payload, dict(headers or {})))
        if hook == self.fails_in:
            raise OverloadedError("as it was told")

    async def preprocess(self, payload: Any, headers: Mapping[str, str] | None = None) -> Any:
        self.note("preprocess", payload, headers)
        return await super().preprocess(payload, headers)

    async def predict(self, payload: Any, headers: Mapping[str, str] | None = None) -> Any:
        self.note("predict", payload, headers)
        return await super().predict(payload, headers)

    async def postprocess(
        self,
        result: Any,
        headers: Mapping[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> Any:
        self.note("postprocess", result, headers)
        return await super().postprocess(result, headers)


def counts(name: str) -> list[float]:
    return [sample(f"request_{stage}_seconds_count", model_name=name) for stage in STAGES]


async def outcome(model: SumModel, headers: Mapping[str, str] | None) -> Any:
    try:
        return await model.answer(Numbers([1.0, 2.5]), headers)
    except ServingError as error:
        return type(error), error.message


@pytest.mark.parametrize("fails_in", ["", *STAGES])
@pytest.mark.parametrize("headers", [None, {}, {"x-request-id": "a"}])
async def test_both_ways_are_the_same(fails_in: str, headers: Mapping[str, str] | None) -> None:
    found = []
    for way in ("fast", "kserve"):
        model = Watched(f"{way}-{fails_in}", fails_in)
        model.fast_path = FastPath(model) if way == "fast" else None
        before = counts(model.name)
        answer = await outcome(model, headers)
        after = counts(model.name)
        counted = [late - early for early, late in zip(before, after, strict=True)]
        found.append((answer, model.seen, counted))
    assert found[0] == found[1]
    assert len(found[0][1]) == (STAGES.index(fails_in) + 1 if fails_in else 3)


async def test_the_histograms_are_kserves_own() -> None:
    model = SumModel("own-histograms")
    model.fast_path = FastPath(model)
    await model.answer(Numbers([1.0]))
    for histogram in (PRE_HIST_TIME, PREDICT_HIST_TIME, POST_HIST_TIME):
        (metric,) = histogram.collect()
        labelled = [s for s in metric.samples if s.labels.get("model_name") == model.name]
        assert [s.value for s in labelled if s.name.endswith("_count")] == [1.0]
