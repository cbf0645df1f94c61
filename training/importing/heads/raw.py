"""Heads of tasks whose contracts say what the network's own outputs mean: nothing is put behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from artifact import Contract, ImageInput, InvalidCardError, as_document
from artifact.fields import Fields
from serving.v2 import NUMPY_TYPES, fits
from tasks import find_task
from training.importing.errors import ImportRefusedError
from training.importing.request import Request

if TYPE_CHECKING:
    from onnx import ModelProto

ROLES = {
    "ssd": ("boxes", "scores"),
    "scores": ("boxes", "scores"),
    "centre-points": ("centres", "sizes", "offsets", "keypoints"),
    "boxes": ("boxes", "scores", "labels"),
}
"""Names of outputs by the kind of a detector's head."""


class RawHead:
    """Of one task.

    Args:
        task: its name.
    """

    def __init__(self, task: str) -> None:
        self._task = task

    def fits(self, answers: dict[str, NDArray[Any]], batch: NDArray[Any]) -> bool:
        """Never: shapes do not tell what numbers mean."""
        return False

    def choose(self, answers: dict[str, NDArray[Any]], request: Request) -> tuple[str, ...]:
        """Those of ``--output A,B``, in that order; all there are where it is not given."""
        chosen = tuple(request.output.split(",")) if request.output else tuple(answers)
        for name in chosen:
            if name not in answers:
                raise ImportRefusedError(f"--output {name} is none of {', '.join(answers)}")
        return chosen

    def usual(
        self,
        spec: ImageInput,
        answers: Sequence[NDArray[Any]],
        labels: tuple[str, ...],
        request: Request,
    ) -> dict[str, Any]:
        """Fields of the contract that the outputs' shapes tell."""
        return {}

    def contract(
        self,
        spec: ImageInput,
        answers: Sequence[NDArray[Any]],
        labels: tuple[str, ...],
        request: Request,
    ) -> Contract:
        document = {
            "input": as_document(spec),
            "outputs": [f"output-{number}" for number in range(len(answers))],
            **({"labels": list(labels)} if labels else {}),
            **self.usual(spec, answers, labels, request),
            **request.contract,
        }
        kind = document.get("head", {}).get("kind", "")
        if kind in ROLES:
            document["outputs"] = list(ROLES[kind][: len(answers)])
        fields = Fields({"contract": document})
        try:
            contract = fields.read("contract", find_task(self._task).read_contract)
            fields.refuse()
        except InvalidCardError as error:
            raise ImportRefusedError(
                f"{error}. What the shapes do not tell of a contract of {self._task} is said by "
                "--contract FILE and --labels FILE: docs/tasks.md"
            ) from None
        described = zip(contract.outputs, contract.output_shapes(spec.shape), answers, strict=True)
        for name, shape, rows in described:
            if not fits(rows.shape[1:], shape):
                raise ImportRefusedError(
                    f"its output for {name} has the shape {rows.shape[1:]} for one picture; "
                    f"the contract says {shape}. --output A,B says which outputs, in which order"
                )
        return contract

    def finish(
        self, contract: Contract, answers: Sequence[NDArray[Any]], request: Request
    ) -> tuple[NDArray[Any], ...]:
        return tuple(
            rows.astype(NUMPY_TYPES[kind])
            for rows, kind in zip(answers, contract.output_dtypes, strict=True)
        )

    def append(
        self,
        model: ModelProto,
        contract: Contract,
        answers: Sequence[NDArray[Any]],
        request: Request,
    ) -> None:
        from onnx import helper

        from training.importing import graph

        given = [value.name for value in model.graph.output]
        del model.graph.output[:]
        for name in contract.outputs:
            graph.rename_in(model.graph, name, f"{name}_as_given")
        described = zip(
            given,
            contract.outputs,
            contract.output_dtypes,
            contract.output_shapes(contract.input.shape),
            strict=True,
        )
        for old, name, kind, shape in described:
            inner = f"{old}_as_given" if old in contract.outputs else old
            element = helper.np_dtype_to_tensor_dtype(np.dtype(NUMPY_TYPES[kind]))
            graph.append(model, [helper.make_node("Cast", [inner], [name], to=element)])
            model.graph.output.append(
                helper.make_tensor_value_info(name, element, ["batch", *shape])
            )
