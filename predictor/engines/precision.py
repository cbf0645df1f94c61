"""Which precision the processor computes in."""

from __future__ import annotations

import logging
import re
from importlib.util import find_spec
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")

ENGINES = ("openvino", "torch")
"""Packages that compute in bfloat16."""

logger = logging.getLogger("predictor")


def usable_precision(wanted: str, device: str = "cpu") -> str:
    """That precision; float32 where the processor would only imitate it."""
    if wanted != "bfloat16" or _has_bfloat16(device):
        return wanted
    logger.info("bfloat16 is not available here; the networks run in float32")
    return "float32"


def _has_bfloat16(device: str) -> bool:
    if all(find_spec(name) is None for name in ENGINES):
        return False
    if device == "cuda":
        import torch

        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    # Told by the kernel, since an engine that says so may mean that it imitates: AVX512-BF16 and
    # AMX-BF16 of x86, BF16 of ARM.
    try:
        flags = CPU_INFO.read_text()
    except OSError:
        return False
    return re.search(r"\b(\w+_)?bf16\b", flags) is not None
