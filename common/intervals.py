"""How sure a share is that was counted."""

from __future__ import annotations

import math

Z95 = 1.96
"""Of a two-sided interval of 95 %."""


def wilson(successes: float, total: float, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval for a share (Wilson 1927, JASA 22:209-212); (0, 1) of nothing."""
    if total == 0:
        return 0.0, 1.0
    share = successes / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = (
        z
        / (1 + z * z / total)
        * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    )
    return max(0.0, middle - half), min(1.0, middle + half)
