"""Which precision the processor computes in."""

from __future__ import annotations

import logging
from importlib.util import find_spec

logger = logging.getLogger("predictor")


def usable_precision(wanted: str, device: str = "cpu") -> str:
    """That precision; float32 where the processor would only imitate it."""
    if wanted != "bfloat16" or _has_bfloat16(device):
        return wanted
    logger.info("bfloat16 is not available here; the networks run in float32")
    return "float32"


def _has_bfloat16(device: str) -> bool:
    if find_spec("torch") is None:
        return False  # no other engine computes in it
    import torch

    if device == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    # AVX512-BF16, AMX-BF16 and the like. What torch itself calls supported includes imitation.
    capabilities = torch.cpu.get_capabilities()
    return any(has for name, has in capabilities.items() if name.endswith("bf16"))
