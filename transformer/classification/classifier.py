"""One classification model of the transformer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any

import numpy as np

from artifact import Contract
from common.predicted import MAX_INSTANCES, Predicted
from serving.errors import InvalidRequestError
from serving.model import HttpRequest
from transformer.classification.answers import DIGITS, Classification
from transformer.classification.options import ClassificationOptions, Several
from transformer.classification.statistics import AnswerStatistics
from transformer.classification.trust import doubt
from transformer.hop import PredictorClient
from transformer.metrics import TALLY
from transformer.pictures.model import Answer, Batch, PictureModel, Tensors
from transformer.pictures.payload import Payload, PictureOptions
from transformer.pictures.preprocess import Prepared
from transformer.settings import TransformerSettings

NO_BOX = (-1, -1, -1, -1)
"""In v2's tensor of boxes: of a picture that was taken as it is, or that nothing was found in."""


class ClassificationModel(PictureModel):
    """Names the classes."""

    options = ClassificationOptions

    def __init__(
        self,
        name: str,
        contract: Contract,
        hop: PredictorClient,
        executor: Executor,
        settings: TransformerSettings,
    ) -> None:
        super().__init__(name, contract, hop, executor, settings)
        self._task = Classification(contract)

    def judge(self, contract: Contract) -> AnswerStatistics:
        return AnswerStatistics(contract)

    def read_v1(self, request: HttpRequest) -> Payload:
        return self._checked(super().read_v1(request))

    def read_v2(self, request: HttpRequest) -> Payload:
        return self._checked(super().read_v2(request))

    def _checked(self, payload: Payload) -> Payload:
        options = payload.options
        assert isinstance(options, ClassificationOptions)
        if options.threshold is not None and not self._task.has_many:
            raise InvalidRequestError("threshold is of models whose pictures may have many labels")
        return payload

    def get_output_types(self) -> list[dict[str, Any]]:
        return self._task.output_types()

    def choose(
        self, subjects: list[Prepared], options: PictureOptions, instance: int | None
    ) -> list[Prepared]:
        several = _several(options)
        if several is Several.ALL:
            return subjects
        if several is Several.REFUSE and len(subjects) > 1:
            raise InvalidRequestError(
                f"the image has {len(subjects)} subjects; several=all answers each of them",
                instance=instance,
                code="several_subjects",
            )
        return subjects[:1]

    def predictions(self, answer: Answer) -> list[dict[str, Any]]:
        options = answer.batch.payload.options
        assert isinstance(options, ClassificationOptions)
        found = self._task.predictions(answer.outputs[0], options, self._settings.default_top_k)
        for prediction, item in zip(found, answer.batch.items, strict=True):
            if isinstance(item, Prepared) and item.box is not None:
                prediction["box"] = item.box
                if item.subjects > 1 and options.several is Several.FIRST:
                    prediction["subjects"] = item.subjects
        if self._task.is_judged:
            judged = zip(found, answer.outputs[1].tolist(), self._doubts(answer), strict=True)
            unsure = 0
            for prediction, familiarity, why in judged:
                prediction["familiarity"] = round(familiarity, DIGITS)
                prediction["unsure"] = why is not None
                if why is not None:
                    prediction["why"] = why
                    unsure += 1
            self._count_unsure(answer, unsure)
        return found

    def gathered(self, predictions: list[dict[str, Any]], batch: Batch) -> list[dict[str, Any]]:
        """With ``several=all``, each instance is the list of its subjects."""
        if _several(batch.payload.options) is not Several.ALL:
            return predictions
        following = iter(predictions)
        counts = batch.counts or [1] * len(batch.items)
        return [{"subjects": [next(following) for _ in range(count)]} for count in counts]

    def tensors(self, answer: Answer) -> Tensors:
        options = answer.batch.payload.options
        assert isinstance(options, ClassificationOptions)
        tensors = self._task.tensors(answer.outputs[0], options.threshold)
        if self._task.is_judged:
            doubts = list(self._doubts(answer))
            tensors["familiarity"] = answer.outputs[1]
            tensors["unsure"] = np.array([why is not None for why in doubts])
            tensors["why"] = [why or "" for why in doubts]
            self._count_unsure(answer, sum(why is not None for why in doubts))
        batch = answer.batch
        if options.several is Several.ALL:
            counts = batch.counts or [1] * len(batch.items)
            tensors["instance"] = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
            boxes = [item.box if isinstance(item, Prepared) else None for item in batch.items]
            tensors["box"] = np.array([box or NO_BOX for box in boxes], np.int64)
        return tensors

    def predicted(self, answer: Answer) -> list[Predicted]:
        """None of pictures that were answered subject by subject."""
        batch = answer.batch
        if len(batch.items) != len(batch.payload.images):
            return []
        outputs = answer.outputs[0][:MAX_INSTANCES]
        options = batch.payload.options
        assert isinstance(options, ClassificationOptions)
        has_many = self._task.has_many
        named = (
            self._task.named(outputs, options.threshold) if has_many else self._task.best(outputs)
        )
        doubts = list(self._doubts(answer)) if self._task.is_judged else [None] * len(outputs)
        return [
            Predicted(label, probability, why is not None)
            for (label, probability), why in zip(named, doubts, strict=False)
        ]

    def _count_unsure(self, answer: Answer, count: int) -> None:
        # Without one, too: a share of unsure predictions needs the zero.
        TALLY.unsure.labels(self.name, answer.answered.revision).add(count)

    def _headers(self, answer: Answer) -> dict[str, str]:
        headers = super()._headers(answer)
        if self._task.is_judged:
            headers["x-model-unsure"] = str(sum(why is not None for why in self._doubts(answer)))
        return headers

    def _doubts(self, answer: Answer) -> Iterator[str | None]:
        return map(doubt, answer.batch.items, answer.outputs[1].tolist())


def _several(options: PictureOptions) -> Several:
    assert isinstance(options, ClassificationOptions)
    return options.several
