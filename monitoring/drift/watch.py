"""Follows what every revision answers, and compares it with its baseline again and again."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from monitoring.drift.accuracy import Accuracy, estimated_accuracy
from monitoring.drift.counts import NOTHING, Counts, Key, less, pictures, plus
from monitoring.drift.shift import BLOCK, WINDOWS, Shift, shifts

LEARNT_FROM = 2_000
"""Pictures that make the baseline of a revision whose card has none."""


class Seen(NamedTuple):
    """A shift that there was.

    Attributes:
        first, last: when it was seen, seconds since the epoch.
        shift: where it was clearest.
    """

    first: float
    last: float
    shift: Shift


class Watch:
    """One revision's.

    Attributes:
        baseline: empty until the first pictures have made one, where nobody gave any.
        held_out: what the model card says: how many of which answers are right.
        latest: of every statistic its clearest difference, at the last look.
        seen: shifts by statistic, as far as they go on or were the last.
        accuracy: estimated of the longest window; None where it is not known.
    """

    def __init__(self, baseline: Counts = NOTHING, held_out: Counts = NOTHING) -> None:
        self.baseline = baseline
        self.held_out = held_out
        self.latest: dict[str, Shift] = {}
        self.seen: dict[str, Seen] = {}
        self.accuracy: Accuracy | None = None
        self.counted: Counts = NOTHING
        self._marks: deque[tuple[int, Counts]] = deque([(0, NOTHING)])

    @property
    def pictures(self) -> int:
        """Counted so far."""
        return pictures(self.counted)

    @property
    def is_learning(self) -> bool:
        return not self.baseline

    @property
    def window(self) -> Counts:
        """The last pictures, at most as many as the longest window but for a block."""
        return less(self.counted, self._marks[0][1])

    def measure_from(self, baseline: Counts) -> None:
        """Compare with another baseline from now on; what was seen against the old one is over."""
        self.baseline = baseline
        self.latest, self.seen = {}, {}

    def add(self, counts: Counts, time: float) -> None:
        """Take what was counted until a time, and look if there is enough of it."""
        self.counted = plus(self.counted, counts)
        total = self.pictures
        if self.is_learning:
            if total >= LEARNT_FROM:
                self.baseline = self.counted
                self._marks = deque([(total, self.counted)])
            return
        if total - self._marks[-1][0] < BLOCK:
            return
        self._look(total, time)
        self._marks.append((total, self.counted))
        while len(self._marks) > 1 and total - self._marks[1][0] >= WINDOWS[-1]:
            self._marks.popleft()

    def _look(self, total: int, time: float) -> None:
        latest: dict[str, Shift] = {}
        # Where few have come, windows are the same pictures; they stand for the longest.
        starts = {self._start(total, size): size for size in WINDOWS}
        for start, window in sorted(starts.items(), reverse=True):
            for shift in shifts(less(self.counted, self._marks[start][1]), self.baseline, window):
                known = latest.get(shift.statistic)
                if known is None or shift.evidence > known.evidence:
                    latest[shift.statistic] = shift
        self.latest = latest
        self.accuracy = estimated_accuracy(self.window, self.held_out)
        for name, shift in latest.items():
            if not shift.is_there:
                continue
            known_seen = self.seen.get(name)
            first, clearest = time, shift
            if known_seen is not None:
                first = known_seen.first
                clearest = max(shift, known_seen.shift, key=lambda each: each.evidence)
            self.seen[name] = Seen(first, time, clearest)

    def _start(self, total: int, size: int) -> int:
        """The latest mark that is so many pictures ago; the first, where none is."""
        for place in range(len(self._marks) - 1, -1, -1):
            if total - self._marks[place][0] >= size:
                return place
        return 0


class Watches:
    """Those of all revisions.

    Args:
        chosen: baselines that were chosen or learnt, which go before those of cards.
    """

    def __init__(self, chosen: Mapping[Key, Counts]) -> None:
        self._chosen = dict(chosen)
        self.of: dict[Key, Watch] = {}

    def choose(self, chosen: Mapping[Key, Counts]) -> None:
        """Take the baselines that are chosen now; where one is no longer, the card's."""
        before, self._chosen = self._chosen, dict(chosen)
        for key, watch in self.of.items():
            if before.get(key) != chosen.get(key):
                watch.measure_from(chosen.get(key, watch.held_out))

    def know(self, cards: Mapping[Key, Counts]) -> None:
        """Take the baselines of cards."""
        for key, held_out in cards.items():
            watch = self._watch(key)
            watch.held_out = held_out
            if watch.is_learning:
                watch.baseline = held_out

    def add(self, grown: Mapping[Key, Counts], time: float) -> None:
        for key, counts in grown.items():
            self._watch(key).add(counts, time)

    def _watch(self, key: Key) -> Watch:
        return self.of.setdefault(key, Watch(self._chosen.get(key, NOTHING)))
