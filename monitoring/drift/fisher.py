"""Fisher's exact test of two shares (Fisher, 1935), by logarithms: far out, where normal
approximations of rare counts are wrong by orders of magnitude.
"""

from __future__ import annotations

from math import lgamma, log

NEGLIGIBLE = 1e-12
"""A term of the tail's sum below that share of what there is ends it."""


def log_p(hits: int, size: int, reference_hits: int, reference_size: int) -> float:
    """Logarithm of the probability that chance alone sets two shares so far apart, two-sided.

    Args:
        hits, size: of the sample.
        reference_hits, reference_size: of what it is compared with.
    """
    total, marked = size + reference_size, hits + reference_hits
    if hits * reference_size < reference_hits * size:
        hits, marked = size - hits, total - marked
    least = min(size, marked)
    term = 0.0
    tail = 0.0
    for count in range(hits, least + 1):
        if count == hits:
            log_first = _log_chance(hits, size, marked, total)
            term = 1.0
        else:
            # The ratio of neighbouring terms of the hypergeometric distribution
            before = count - 1
            term *= (marked - before) * (size - before)
            term /= count * (total - marked - size + count)
        tail += term
        if term < NEGLIGIBLE * tail:
            break
    return min(0.0, log(2) + log_first + log(tail))


def _log_chance(hits: int, size: int, marked: int, total: int) -> float:
    """Of exactly so many of the marked ones in a sample."""
    return (
        _log_choose(marked, hits)
        + _log_choose(total - marked, size - hits)
        - _log_choose(total, size)
    )


def _log_choose(whole: int, part: int) -> float:
    return lgamma(whole + 1) - lgamma(part + 1) - lgamma(whole - part + 1)
