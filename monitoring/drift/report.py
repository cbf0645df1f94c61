"""``vision monitor drift``: what pictures and answers are like, beside what they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone

from artifact.statistics import LABEL, POLARITY, STATISTICS
from common.table import table
from monitoring.drift.counts import Key, pictures
from monitoring.drift.shift import Shift
from monitoring.drift.watch import LEARNT_FROM, Watch

HEAD = ("statistic", "median was", "is", "clearest difference", "was", "is", "evidence")
NONE = "–"


def report(watches: Mapping[Key, Watch]) -> str:
    """A part for each revision that has answered; empty where none has."""
    parts = [_part(key, watch) for key, watch in sorted(watches.items()) if watch.pictures]
    return "\n\n".join(parts)


def _part(key: Key, watch: Watch) -> str:
    name = "/".join(key)
    if watch.is_learning:
        return f"{name}: {watch.pictures:,} of {LEARNT_FROM:,} pictures from which it learns"
    size = pictures(watch.window)
    lines = [f"{name}: {watch.pictures:,} pictures; the last {size:,} of them:"]
    there = [shift for shift in watch.latest.values() if shift.is_there]
    if there:
        clearest = sorted(there, key=lambda shift: -shift.evidence)
        lines.append("  SHIFTED: " + "; ".join(map(sentence, clearest)))
    else:
        lines.append("  as they were" if watch.latest else "  too few to compare yet")
    lines += [
        f"  seen from {_time(seen.first)} to {_time(seen.last)}: {sentence(seen.shift)}"
        for seen in watch.seen.values()
        if not watch.latest[seen.shift.statistic].is_there
    ]
    if watch.accuracy is not None:
        estimate, low, high = watch.accuracy
        lines.append(f"  estimated accuracy {estimate:.1%}, 95 % between {low:.1%} and {high:.1%}")
    if watch.latest:
        lines.append(table(HEAD, list(_rows(watch))))
    return "\n".join(lines)


def sentence(shift: Shift) -> str:
    """A shift in words: what changed, from what to what."""
    shares = f"{shift.was:.1%} → {shift.now:.1%} of {shift.size:,}"
    if shift.statistic in (LABEL, POLARITY):
        return f"{shift.statistic} {shift.bound}: {shares}"
    return f"{shift.statistic} above {shift.bound}: {shares}"


def _rows(watch: Watch) -> Iterator[tuple[str, ...]]:
    window = watch.window
    for name, shift in sorted(watch.latest.items(), key=lambda item: -item[1].evidence):
        was, now = NONE, NONE
        if name in STATISTICS:
            bounds = STATISTICS[name].bounds
            was = _median(bounds, [watch.baseline[name].get(b, 0) for b in STATISTICS[name].bins])
            now = _median(bounds, [window[name].get(b, 0) for b in STATISTICS[name].bins])
        where = shift.bound if name in (LABEL, POLARITY) else f"above {shift.bound}"
        yield (
            name,
            was,
            now,
            where,
            f"{shift.was:.1%}",
            f"{shift.now:.1%}",
            f"{shift.evidence:.2f}",
        )


def _median(bounds: Sequence[float], counts: Sequence[int]) -> str:
    """Of counts in bins; within a bin, as if they were spread evenly."""
    half, below = sum(counts) / 2, 0
    for place, count in enumerate(counts):
        if count and below + count >= half:
            if place == 0:
                return f"≤ {bounds[0]:g}"
            if place == len(bounds):
                return f"> {bounds[-1]:g}"
            low, high = bounds[place - 1], bounds[place]
            middle = low + (high - low) * (half - below) / count
            # Near to 1, what is missing is what counts.
            return f"{middle:.6g}" if 0.999 < middle < 1 else f"{middle:.3g}"
        below += count
    return NONE


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
