"""The head of classification: probabilities of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from artifact import Contract, ImageInput, ManyLabelsContract
from training.importing.errors import ImportRefusedError
from training.importing.request import Request

if TYPE_CHECKING:
    from onnx import ModelProto

OUTPUT = "probabilities"
SUM_TOLERANCE = 1e-3
USUAL_THRESHOLD = 0.5
"""Of each label where a picture may have many: whose scores are a sigmoid's."""


class ClassificationHead:
    """A softmax, where the network has none; of one output, a sigmoid and its rest."""

    def fits(self, answers: dict[str, NDArray[Any]], batch: NDArray[Any]) -> bool:
        return all(_flat(a).ndim == 2 for a in answers.values())

    def choose(self, answers: dict[str, NDArray[Any]], request: Request) -> tuple[str, ...]:
        names = list(answers)
        if request.output:
            if request.output not in answers:
                raise ImportRefusedError(f"--output {request.output} is none of {', '.join(names)}")
            return (request.output,)
        for usual in ("logits", "out"):
            if usual in answers:
                return (usual,)
        if len(names) > 1:
            shapes = ", ".join(f"{name} {answers[name].shape[1:]}" for name in names)
            raise ImportRefusedError(
                f"it has several outputs: {shapes}. Say with --output NAME which has the scores"
            )
        return (names[0],)

    def contract(
        self,
        spec: ImageInput,
        answers: Sequence[NDArray[Any]],
        labels: tuple[str, ...],
        request: Request,
    ) -> Contract:
        scores = _flat(answers[0])
        if scores.ndim != 2:
            raise ImportRefusedError(
                f"its output has the shape {scores.shape[1:]} for one picture; a classifier gives "
                "one number a label"
            )
        count = 2 if scores.shape[1] == 1 else scores.shape[1]
        if not labels and request.numbered:
            labels = tuple(str(i) for i in range(count))
        if not labels:
            raise ImportRefusedError(
                f"nobody names the {count} labels: give --labels FILE with one a line, in the "
                "order of the network's outputs; or --numbered-labels, which calls them 0, 1, …"
            )
        if len(labels) != count:
            raise ImportRefusedError(
                f"there are {len(labels)} labels for {count} outputs: --labels FILE must have one "
                "line an output, in their order"
            )
        if scores.shape[1] > 1 and activation(scores, request) == "sigmoid":
            thresholds = request.contract.get("thresholds", [USUAL_THRESHOLD] * count)
            return ManyLabelsContract("classification", spec, (OUTPUT,), labels, tuple(thresholds))
        return Contract("classification", spec, (OUTPUT,), labels)

    def finish(
        self, contract: Contract, answers: Sequence[NDArray[Any]], request: Request
    ) -> tuple[NDArray[Any], ...]:
        scores = _flat(answers[0]).astype(np.float64)
        kind = activation(scores, request)
        if kind == "sigmoid":
            scores = 1 / (1 + np.exp(-scores))
        elif kind == "softmax":
            powers = np.exp(scores - scores.max(1, keepdims=True))
            scores = powers / powers.sum(1, keepdims=True)
        if scores.shape[1] == 1:
            scores = np.concatenate([1 - scores, scores], 1)
        return (scores.astype(np.float32),)

    def append(
        self,
        model: ModelProto,
        contract: Contract,
        answers: Sequence[NDArray[Any]],
        request: Request,
    ) -> None:
        from onnx import TensorProto, helper

        from training.importing import graph

        # A program that was exported from here has an output of that name already.
        graph.rename(model, {contract.outputs[0]: "vision_scores"})
        scores = _flat(answers[0])
        last, nodes = model.graph.output[0].name, []

        def then(operator: str, *more: str, **attributes: Any) -> None:
            nonlocal last
            following = f"vision_{operator.lower()}"
            nodes.append(helper.make_node(operator, [*more, last], [following], **attributes))
            last = following

        if model.graph.output[0].type.tensor_type.elem_type != TensorProto.FLOAT:
            then("Cast", to=TensorProto.FLOAT)
        if answers[0].ndim != 2:
            then("Flatten", axis=1)
        kind = activation(scores, request)
        if kind == "sigmoid":
            then("Sigmoid")
        elif kind == "softmax":
            then("Softmax", axis=1)
        if scores.shape[1] == 1:
            one = helper.make_tensor("vision_one", TensorProto.FLOAT, [1, 1], [1.0])
            model.graph.initializer.append(one)
            positive = last
            then("Sub", one.name)
            nodes.append(helper.make_node("Concat", [last, positive], ["vision_both"], axis=1))
            last = "vision_both"
        if not nodes:
            then("Identity")
        nodes[-1].output[0] = OUTPUT
        graph.append(model, nodes)
        graph.set_outputs(model, {OUTPUT: ["batch", len(contract.labels)]})


def activation(scores: NDArray[Any], request: Request) -> str:
    """What makes probabilities of these scores: ``softmax``, ``sigmoid`` or ``none``."""
    if request.activation:
        return request.activation
    is_share = bool((scores >= 0).all() and (scores <= 1 + SUM_TOLERANCE).all())
    if scores.shape[1] == 1:
        return "none" if is_share else "sigmoid"
    sums_to_one = bool((np.abs(scores.sum(1) - 1) < SUM_TOLERANCE).all())
    return "none" if is_share and sums_to_one else "softmax"


def _flat(scores: NDArray[Any]) -> NDArray[Any]:
    """``(n, k, 1, 1)`` as ``(n, k)``."""
    if scores.ndim > 2 and all(side == 1 for side in scores.shape[2:]):
        return scores.reshape(len(scores), -1)
    return scores


TASK = ClassificationHead()
