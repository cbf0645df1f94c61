"""Let torchvision import beside a torch build that its compiled operators do not fit.

A CUDA build of torchvision beside a CPU build of torch cannot load its own library of compiled
operators, and its import then fails on registering shape functions for ``nms`` and ``qnms``.
Training uses only ``datasets`` and ``transforms``, which need neither: declaring the two
operators is enough. Where torchvision's library loads, nothing is declared.

Take ``datasets`` and ``v2`` from here: torchvision is then imported after the declarations.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch


def _library_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    for library in Path(spec.origin).parent.glob("_C*"):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            return False
        return True
    return False


declared: torch.library.Library | None = None
"""Holds the declarations alive; None where torchvision's own operators loaded."""

if not _library_loads():
    declared = torch.library.Library("torchvision", "DEF")
    declared.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    declared.define(
        "qnms(Tensor dets, Tensor scores, float iou_threshold, float score_threshold) -> Tensor"
    )

from torchvision import datasets  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

__all__ = ["datasets", "declared", "v2"]
