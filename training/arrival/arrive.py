"""One call from files to a data set: read, check, add or refuse, and keep the report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from registry.datasets import Datasets, Version
from training.arrival.check import Against, ArrivalReport, Rules, check
from training.arrival.reading import read_part
from training.arrival.report import files_of


@dataclass(frozen=True)
class Arrival:
    """What became of something that came.

    Attributes:
        version: the one with it; None where it was refused.
        report: None where it came before and is in the data set.
        is_new: whether anything was added.
    """

    version: Version | None
    report: ArrivalReport | None
    is_new: bool


def arrive(
    datasets: Datasets,
    name: str,
    path: Path,
    against: Against,
    labels: Path | None = None,
    split: str = "",
    why: str = "",
    rules: Rules | None = None,
) -> Arrival:
    """Bring the pictures at ``path`` into a data set; done again, it changes nothing.

    Args:
        against: its ``before`` is found here where it is None.
        labels, split: as ``read_part`` and ``Datasets.add``.

    Raises:
        UnreadablePartError: it is of no form that is read.
        RegistryError: of the store or the history.
    """
    part = read_part(path, labels, against.classes)
    arrived = part.samples().digest
    before = datasets.newest(name)
    if before is not None and any(arrived in (p.arrived, p.digest) for p in before.parts):
        return Arrival(before, None, False)
    if before is not None and against.before is None:
        against = replace(against, before=datasets.open(before))
    report = check(part, against, rules)
    kept_report = datasets.keep_report(name, files_of(report, part, f"{path.name}, for {name}"))
    if not report.accepted:
        datasets.refuse(name, report.arrived, report.refusals, why, kept_report)
        return Arrival(None, report, False)
    kept = part.chosen([i for i in range(len(part)) if i not in report.left_out])
    earlier = () if before is None else before.classes
    classes = against.classes or (*earlier, *(part.classes or sorted(set(part.labels))))
    samples = kept.samples(tuple(dict.fromkeys(classes)))
    version = datasets.add(name, samples, split, report.arrived, why, kept_report)
    return Arrival(version, report, True)
