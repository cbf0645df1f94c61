"""Engines by name, and which of them serves a revision.

An engine is imported when it is asked for: PyTorch alone takes a second to import and 170 MB.
"""

from __future__ import annotations

import logging

from artifact import Revision
from predictor.engines.engine import Arrays, Engine, EngineError, EngineOptions, Session
from predictor.registry import ENGINES, registered
from serving.quota import memory_limit, memory_used

__all__ = ["AUTO", "Arrays", "Engine", "EngineError", "EngineOptions", "Session", "load_session"]

logger = logging.getLogger("predictor")

AUTO = "auto"

BUILT_IN = {
    "onnxruntime": "predictor.engines.onnx_runtime:OnnxRuntimeEngine",
    "openvino": "predictor.engines.open_vino:OpenVinoEngine",
    "torch": "predictor.engines.pytorch:TorchEngine",
}


def load_session(revision: Revision, engine: str, options: EngineOptions) -> tuple[str, Session]:
    """Load a revision with the engine of that name, or with the fastest that its card allows.

    Returns:
        The engine's name, and what it loaded.

    Raises:
        EngineError: there is no such engine, or it cannot serve the revision like this.
        ArtifactError: as ``Engine.load``.
    """
    known = registered(ENGINES, BUILT_IN)
    if engine != AUTO and engine not in known:
        available = ", ".join([AUTO, *sorted(known)])
        raise EngineError(f"engine {engine!r} not found; available: {available}")
    names = list(known) if engine == AUTO else [engine]
    candidates: dict[str, Engine] = {name: known[name].load()() for name in names}
    refusals = []
    for name in sorted(names, key=lambda name: -candidates[name].preference):
        refusal = candidates[name].refusal(revision, options)
        if refusal is None:
            _require_memory(revision, candidates[name].needed_bytes(revision))
            return name, candidates[name].load(revision, options)
        refusals.append(f"{name}: {refusal}")
    raise EngineError(f"{revision.card.identity}: {'; '.join(refusals)}")


def _require_memory(revision: Revision, needed: int) -> None:
    """Say at start what the kernel would say by killing the process, and of which model."""
    limit, used = memory_limit(), memory_used()
    if used + needed > limit:
        raise EngineError(
            f"{revision.card.identity} does not fit: it needs {needed / 1e6:.0f} MB at least; "
            f"{used / 1e6:.0f} MB of the limit of {limit / 1e6:.0f} MB are in use"
        )
