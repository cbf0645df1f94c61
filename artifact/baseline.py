"""What pictures and answers were like when a revision was made: what drift is measured from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat

from artifact.fields import Fields
from artifact.statistics import (
    BINS,
    CONFIDENCE,
    LABEL,
    POLARITY,
    RIGHT,
    STATISTICS,
    UNSURE,
    label_bins,
)


@dataclass(frozen=True)
class Baseline:
    """Counts of held-out pictures and of the revision's answers to them.

    Attributes:
        pictures: how many there were.
        bins: version of the bins; see ``artifact.statistics``.
        histograms: by a statistic's name, pictures in each of its bins.
        labels: pictures by the label that was answered, in the order of the contract's labels, or
            by several that share a bin; empty where nobody counted. They may be more than the
            pictures, where the shares are known more exactly than by counting.
        polarities: pictures by their polarity; empty where the contract has none.
        right: right answers in each bin of confidence; empty where no labels are known.
        unsure_right: of the answers that are unsure.
    """

    pictures: int
    bins: int
    histograms: Mapping[str, tuple[int, ...]]
    labels: tuple[int, ...] = ()
    polarities: Mapping[str, int] = field(default_factory=dict)
    right: tuple[int, ...] = ()
    unsure_right: int = 0

    @classmethod
    def read(cls, fields: Fields) -> Baseline:
        value = cls(
            pictures=fields.integer("pictures", minimum=1),
            bins=fields.integer("bins", minimum=1),
            histograms=fields.read(
                "histograms", lambda each: {name: each.integers(name) for name in each.names}
            ),
            labels=fields.if_there("labels", fields.integers) or (),
            polarities=fields.if_there(
                "polarities",
                lambda f: fields.read(
                    f, lambda each: {name: each.integer(name) for name in each.names}
                ),
            )
            or {},
            right=fields.if_there("right", fields.integers) or (),
            unsure_right=fields.if_there("unsure_right", fields.integer) or 0,
        )
        if fields.sound and value.is_comparable:
            value._check(fields)
        return value

    @property
    def is_comparable(self) -> bool:
        """Whether its bins are those of this release."""
        return self.bins == BINS

    def counts(self, labels: Sequence[str]) -> Iterator[tuple[str, str, int]]:
        """Every number with its statistic and bin, as servers name the bins of what they count.

        Args:
            labels: the contract's.
        """
        for name, counts in self.histograms.items():
            yield from zip(repeat(name), STATISTICS[name].bins, counts, strict=False)
        yield from zip(repeat(LABEL), label_bins(labels).names, self.labels)
        for polarity, count in self.polarities.items():
            yield POLARITY, polarity, count
        if self.right:
            yield from zip(repeat(RIGHT), CONFIDENCE.bins, self.right)
            yield RIGHT, UNSURE, self.unsure_right

    def _check(self, fields: Fields) -> None:
        """Note what does not fit the bins of this release."""
        for name, counts in self.histograms.items():
            known = STATISTICS.get(name)
            if known is None:
                fields.fault(f"histograms.{name}", "is no statistic of these bins")
            elif len(counts) != len(known.bounds) + 1:
                fields.fault(f"histograms.{name}", f"must have {len(known.bounds) + 1} entries")
        confident = self.histograms.get(CONFIDENCE.name, ())
        if self.right and len(self.right) != len(confident):
            fields.fault("right", f"must have {len(confident)} entries, one a bin of confidence")
        elif any(right > count for right, count in zip(self.right, confident, strict=False)):
            fields.fault("right", "must be at most as many as there are")
