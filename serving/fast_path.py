"""KServe's hooks without what its ``__call__`` does around them; off by ``VISION_FAST_PATH=false``.

``kserve.Model.__call__`` looks its histograms' labels up, makes a timer and inspects the hook three
times per request: 25 to 100 of some 700 µs of both servers' processor time per image, measured on a
busy machine (benchmarks/NOTES.md). Here the same hooks are called in the same order, and the same
histograms count by children that are bound once. ``tests/serving/test_fast_path.py`` holds both
ways beside each other, so that an upgrade of KServe that changes one of them is seen.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kserve.metrics import POST_HIST_TIME, PRE_HIST_TIME, PREDICT_HIST_TIME, get_labels

if TYPE_CHECKING:
    from serving.model import ServedModel


class FastPath:
    """Calls one model's hooks.

    Args:
        model: whose; its name is the histograms' label.
    """

    def __init__(self, model: ServedModel) -> None:
        labels = get_labels(model.name)
        self._model = model
        self._before = PRE_HIST_TIME.labels(**labels)
        self._during = PREDICT_HIST_TIME.labels(**labels)
        self._after = POST_HIST_TIME.labels(**labels)

    async def __call__(self, payload: Any, headers: Mapping[str, str]) -> Any:
        """What ``kserve.Model.__call__`` gives first."""
        model = self._model
        started = time.perf_counter()
        try:
            payload = await model.preprocess(payload, headers)
        finally:
            prepared = time.perf_counter()
            self._before.observe(prepared - started)
        payload = model.validate(payload)
        try:
            answer = await model.predict(payload, headers)
        finally:
            predicted = time.perf_counter()
            self._during.observe(predicted - prepared)
        try:
            return await model.postprocess(answer, headers)
        finally:
            self._after.observe(time.perf_counter() - predicted)
