"""What a network must be to be served, found by asking it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.importing.errors import ImportRefusedError

Answer = Callable[[NDArray[Any]], Mapping[str, NDArray[Any]]]

SAME = 1e-3
"""Relative difference of two answers that are the same but for rounding."""

PICTURES = 2

ROUNDINGS = 10
"""How much further than by the last bits of its input rounding in its layers moves an answer."""

NOT_REPEATABLE = (
    "it answers the same pictures differently each time, by {difference:.2g}: it was exported in "
    "training mode, or its forward calls F.dropout without training=self.training. Call "
    "model.eval() before you export, and give it nn.Dropout"
)
NOT_ALONE = (
    "it answers a picture differently beside other pictures than alone, by {difference:.2g}: its "
    "batch normalisation takes its figures from the batch, as in training. Call model.eval() "
    "before you export"
)
UNSTEADY = (
    "a change of its input's last bit moves its answers by {moved:.2g}, of their largest value: it "
    "amplifies rounding, and nothing computes such answers twice alike. Are these weights trained?"
)
NOT_FINITE = "it answers with numbers that are not finite: is the recipe that of its training?"
BATCH_OF_ONE = (
    "it takes one picture at a time only ({error}). Take the number of pictures from the input, "
    "for example x.flatten(1) instead of x.reshape(1, -1), and export it for any number: "
    "torch.export.export(model.eval(), (torch.randn(2, 3, 224, 224),), "
    "dynamic_shapes=({{0: torch.export.Dim('batch')}},)), with an example of two pictures or more; "
    "or torch.onnx.export(…, dynamic_axes={{'input': {{0: 'batch'}}}})"
)


def first_answers(answer: Answer, batch: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
    """Of two pictures at once.

    Raises:
        ImportRefusedError: it does not compute them; says so where it would compute one.
    """
    try:
        return answer(batch)
    except ImportRefusedError as error:
        try:
            answer(batch[:1])
        except ImportRefusedError:
            raise error from None
        raise ImportRefusedError(BATCH_OF_ONE.format(error=error)) from None


def check_network(answer: Answer, batch: NDArray[Any], names: Sequence[str]) -> None:
    """Ask the network for a few pictures, together, again, and alone.

    Raises:
        ImportRefusedError: it has no answers that could be served.
    """
    batch = batch[-PICTURES:]
    together = _asked(answer, batch, names)
    if not all(np.isfinite(found).all() for found in together):
        raise ImportRefusedError(NOT_FINITE)
    again = _asked(answer, batch, names)
    if (difference := relative(together, again)) > SAME:
        raise ImportRefusedError(NOT_REPEATABLE.format(difference=difference))
    each = [_asked(answer, batch[i : i + 1], names) for i in range(len(batch))]
    alone = [np.concatenate(parts) for parts in zip(*each, strict=True)]
    if [a.shape for a in alone] != [t.shape for t in together]:
        raise ImportRefusedError(
            f"its answers to {len(batch)} pictures have the shapes "
            f"{', '.join(str(t.shape) for t in together)}; the first axis must be the pictures'"
        )
    if (difference := relative(together, alone)) > SAME:
        nudged = np.nextafter(batch, np.float32(np.inf))
        moved = relative(together, _asked(answer, nudged, names))
        if difference <= ROUNDINGS * moved:
            raise ImportRefusedError(UNSTEADY.format(moved=moved))
        raise ImportRefusedError(NOT_ALONE.format(difference=difference))


def relative(one: Sequence[NDArray[Any]], other: Sequence[NDArray[Any]]) -> float:
    """Largest difference, in units of the largest value."""
    return max(
        float(np.abs(a - b).max(initial=0) / max(1e-6, np.abs(a).max(initial=0)))
        for a, b in zip(one, other, strict=True)
    )


def _asked(answer: Answer, batch: NDArray[Any], names: Sequence[str]) -> list[NDArray[Any]]:
    found = answer(batch)
    return [found[name].astype(np.float64) for name in names]
