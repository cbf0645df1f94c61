"""From a revision on disk to a session that is ready to answer."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from artifact import ArtifactError, Contract, ModelCard, Revision, open_revision
from predictor.agreement import largest_difference
from predictor.engines import AUTO, Arrays, EngineError, EngineOptions, Session, load_session
from serving.quota import give_back_freed, memory_used
from serving.v2 import NUMPY_TYPES, fits
from tasks import find_task

logger = logging.getLogger("predictor")

BFLOAT16_TOLERANCE = 0.1
"""How far probabilities may lie from the golden ones in bfloat16, of two to three digits."""


@dataclass(frozen=True)
class LoadedRevision:
    """A session that has been tried out, with the card it was loaded from.

    Attributes:
        engine: the name of what computes.
        load_seconds: that it took to verify, load and try it out.
        instance_seconds: that an instance took at best when it was tried out.
    """

    card: ModelCard
    digest: str
    engine: str
    session: Session
    load_seconds: float = 0.0
    instance_seconds: float = 0.0

    @cached_property
    def max_instances_per_pass(self) -> int:
        """Larger batches are computed in several passes."""
        return find_task(self.card.contract.task).max_instances_per_pass

    def outputs(self, batch: NDArray[Any]) -> Arrays:
        """The contract's outputs for a batch that fits it, computed in this thread."""
        size = self.max_instances_per_pass
        if len(batch) <= size:
            return self.session.run(batch)
        parts = [self.session.run(batch[i : i + size]) for i in range(0, len(batch), size)]
        return tuple(np.concatenate(rows) for rows in zip(*parts, strict=True))

    def probabilities(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Likewise, of a model whose first output they are."""
        return self.outputs(batch)[0]


def load_revision(
    root: Path, name: str, selector: str, engine: str = AUTO, options: EngineOptions | None = None
) -> LoadedRevision:
    """Open one revision, and ``load`` it; the same arguments and errors."""
    return load(open_revision(root, name, selector), engine, options)


def load(
    revision: Revision, engine: str = AUTO, options: EngineOptions | None = None
) -> LoadedRevision:
    """Verify, load and try out one revision.

    Args:
        engine: by name; ``auto`` for the fastest whose program the card says is equal.
        options: precision and device; by default float32 on the CPU.

    Raises:
        ArtifactError: its files are not those that its card names; no engine can serve it; or it
            answers otherwise than its contract and its golden answers say.
    """
    started = time.monotonic()
    options = options or EngineOptions()
    used, session = load_session(revision, engine, options)
    loaded = LoadedRevision(revision.card, revision.digest, used, session)
    instance_seconds = _try_out(loaded)
    if revision.card.golden is not None:
        _verify_golden(loaded, revision, options.precision)
    # Of what the trial took, and of what has left memory for this revision.
    give_back_freed()
    logger.info(
        "loaded %s (%s) with %s: %.1f MB of weights, %.0f MB in use by the process",
        revision.card.identity,
        revision.digest,
        used,
        session.memory_bytes / 1e6,
        memory_used() / 1e6,
    )
    seconds = time.monotonic() - started
    return replace(loaded, load_seconds=seconds, instance_seconds=instance_seconds)


def _try_out(loaded: LoadedRevision) -> float:
    """Warm up with empty pictures, and see that the answers have the contract's shape.

    Returns:
        Seconds that an instance took at best.
    """
    seconds = []
    contract, identity = loaded.card.contract, loaded.card.identity
    probe, most = find_task(contract.task).probe(contract), loaded.max_instances_per_pass
    for size in sorted({min(size, most) for size in loaded.session.warm_up_sizes}):
        batch = probe.repeat(size, axis=0)
        started = time.monotonic()
        try:
            found = loaded.session.run(batch)
        except Exception as error:  # engines have no common class of what goes wrong in a pass
            raise EngineError(f"{identity}: {loaded.engine}: {batch.shape}: {error}") from None
        seconds.append((time.monotonic() - started) / size)
        _check_outputs(found, contract, batch.shape, identity)
    return min(seconds)


def _check_outputs(
    found: Arrays, contract: Contract, given: tuple[int, ...], identity: str
) -> None:
    """See that the answers to a batch of the shape ``given`` are what the contract says."""
    expected = [(given[0], *shape) for shape in contract.output_shapes(given[1:])]
    if len(found) != len(expected):
        raise ArtifactError(
            f"{identity}: the network has {len(found)} outputs; the contract names {len(expected)}"
        )
    described = zip(contract.outputs, contract.output_dtypes, found, expected, strict=True)
    for name, dtype, rows, shape in described:
        if not fits(rows.shape, shape) or not np.isfinite(rows).all():
            raise ArtifactError(
                f"{identity}: the network answers {rows.shape} to {given}; "
                f"{name} needs {shape}, finite"
            )
        if rows.dtype != NUMPY_TYPES[dtype]:
            raise ArtifactError(f"{identity}: {name} is of {rows.dtype}; the contract says {dtype}")


def _verify_golden(loaded: LoadedRevision, revision: Revision, precision: str) -> None:
    """See that this engine on this processor answers as the network did when it was written."""
    golden, contract, identity = revision.card.golden, loaded.card.contract, loaded.card.identity
    assert golden is not None
    try:
        tensors = load_tensors(revision.read_golden())
        given = tensors["input"]
        expected = tuple(tensors[name] for name in golden.outputs(contract.outputs))
    except (SafetensorError, KeyError) as error:
        raise ArtifactError(f"{identity}: {golden.file}: {error}") from None
    if given.dtype != NUMPY_TYPES[contract.input.dtype] or not contract.input.accepts(
        given.shape[1:]
    ):
        raise ArtifactError(f"{identity}: {golden.file}: the input is not that of the contract")
    difference = largest_difference(loaded.outputs(given), expected)
    tolerance = golden.tolerance
    if precision == "bfloat16":
        tolerance = max(tolerance, BFLOAT16_TOLERANCE)
    if not difference <= tolerance:
        raise ArtifactError(
            f"{identity}: {loaded.engine} answers differ from the golden ones by "
            f"{difference:g}, more than {tolerance:g}"
        )
