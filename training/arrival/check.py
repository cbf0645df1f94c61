"""What is looked at before a part becomes data: refused are parts, left out are pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from registry.samples import Samples, picture_digest
from training.arrival.answers import Ask
from training.arrival.drift import drift
from training.arrival.likeness import copies
from training.arrival.mislabelled import Suspect, estimate
from training.arrival.part import ArrivedPart

FEWEST_LEAKS = 3
"""Pictures of the test set that the smallest part may have, and that are left out."""
WORTH_SAYING = 0.01
"""Share of wrong labels that a person is told of, below that which is refused."""
RARE = 0.1
"""Of the most frequent class's pictures: a class with fewer is named."""


@dataclass(frozen=True)
class Against:
    """What a part is compared with; what is None is not looked at.

    Attributes:
        before: the version that the part would be added to.
        tests: the pinned test set, which no part may have a picture of.
        classes: the labels that there are, in order: those of the model's card.
        ask: the live revision.
        name: of it, for people.
        unseen: classes that it has hardly been trained with: of their labels it says nothing.
    """

    before: Samples | None = None
    tests: Samples | None = None
    classes: tuple[str, ...] = ()
    ask: Ask | None = None
    name: str = ""
    unseen: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rules:
    """When a part is refused; shares are of its pictures."""

    max_unreadable: float = 0.0
    max_duplicates: float = 0.5
    max_leaks: float = 0.01
    max_mislabelled: float = 0.03


@dataclass(frozen=True)
class ArrivalReport:
    """What was found.

    Attributes:
        arrived: digest of what came.
        refusals: why the part is not taken, a sentence each; empty where it is.
        left_out: why a picture is not taken, by its place in the part.
        warnings: what a person should know, a sentence each.
        suspects: pictures whose labels the live revision does not believe; they are taken.
        figures: for programs.
    """

    arrived: str
    refusals: list[str] = field(default_factory=list)
    left_out: dict[int, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        return not self.refusals


def check(part: ArrivedPart, against: Against, rules: Rules | None = None) -> ArrivalReport:
    """Look at a part that has arrived; nothing is written."""
    rules = rules or Rules()
    report = ArrivalReport(part.samples().digest)
    report.figures["images"] = len(part)
    _readable(part, rules, report)
    if len(part):
        _known_labels(part, against, report)
        _balance(part, against, report)
        digests = [picture_digest(image) for image in part.images]
        _duplicates(part, digests, against, rules, report)
        _leaks(part, digests, against, rules, report)
        _labels_believed(part, against, rules, report)
    if len(report.left_out) == len(part) and report.accepted:
        report.refusals.append("no picture of it is left")
    return report


def _readable(part: ArrivedPart, rules: Rules, report: ArrivalReport) -> None:
    unreadable = len(part.unreadable)
    report.figures["unreadable"] = unreadable
    if unreadable > rules.max_unreadable * (len(part) + unreadable):
        name, why = next(iter(part.unreadable.items()))
        report.refusals.append(
            f"{_count(unreadable, 'picture')} cannot be read, the first of them {name}: {why}"
        )


def _known_labels(part: ArrivedPart, against: Against, report: ArrivalReport) -> None:
    counts = Counter(part.labels)
    report.figures["classes"] = {name: counts[name] for name in sorted(counts)}
    unknown = sorted(set(counts) - set(against.classes))
    if against.classes and unknown:
        report.refusals.append(
            f"the model does not know the class {', '.join(map(repr, unknown[:5]))} of "
            f"{_count(sum(counts[name] for name in unknown), 'picture')}; it knows "
            f"{', '.join(against.classes)}"
        )


def _duplicates(
    part: ArrivedPart,
    digests: Sequence[bytes],
    against: Against,
    rules: Rules,
    report: ArrivalReport,
) -> None:
    labels: dict[bytes, set[str]] = {}
    for digest, label in zip(digests, part.labels, strict=True):
        labels.setdefault(digest, set()).add(label)
    earlier = set() if against.before is None else set(against.before.digests)
    seen: set[bytes] = set()
    contradictory = within = known = 0
    for place, digest in enumerate(digests):
        if len(labels[digest]) > 1:
            contradictory += 1
            report.left_out[place] = f"is in it as {' and as '.join(sorted(labels[digest]))}"
        elif digest in earlier:
            known += 1
            report.left_out[place] = "is in an earlier part"
        elif digest in seen:
            within += 1
            report.left_out[place] = "is in it twice"
        seen.add(digest)
    found = within + known + contradictory
    report.figures["duplicates"] = {
        "within": within,
        "earlier": known,
        "contradictory": contradictory,
    }
    if found > rules.max_duplicates * len(part):
        report.refusals.append(
            f"{found} of {len(part)} pictures are in it twice or in an earlier part; "
            f"{rules.max_duplicates:.0%} may be"
        )


def _leaks(
    part: ArrivedPart,
    digests: Sequence[bytes],
    against: Against,
    rules: Rules,
    report: ArrivalReport,
) -> None:
    if against.tests is None:
        report.warnings.append("no pinned test set is known: leaks into it were not looked for")
        return
    tests = set(against.tests.digests)
    same = [place for place, digest in enumerate(digests) if digest in tests]
    near = set(copies(part.images, list(against.tests.images))) - set(same)
    report.left_out.update(dict.fromkeys(near, "is nearly a picture of the pinned test set"))
    report.left_out.update(dict.fromkeys(same, "is in the pinned test set"))
    report.figures["leaks"] = {"same": len(same), "near": len(near)}
    if len(same) + len(near) > max(FEWEST_LEAKS, rules.max_leaks * len(part)):
        report.refusals.append(
            f"{len(same)} of {len(part)} pictures are in the pinned test set, and {len(near)} are "
            f"nearly; {rules.max_leaks:.0%} may be, and are left out"
        )


def _balance(part: ArrivedPart, against: Against, report: ArrivalReport) -> None:
    counts = Counter(part.labels)
    most = max(counts.values())
    if rare := [c for c in against.classes or sorted(counts) if counts[c] < RARE * most]:
        few = ", ".join(f"{name} ({counts[name]})" for name in rare[:10])
        report.warnings.append(f"few pictures beside {most} of the most frequent class: {few}")
    if against.before is not None and len(against.before):
        before = [against.before.classes[label] for label in against.before.labels]
        figures, said = drift(part.images, part.labels, list(against.before.images), before)
        report.figures["drift"] = figures
        report.warnings.extend(said)


def _labels_believed(
    part: ArrivedPart, against: Against, rules: Rules, report: ArrivalReport
) -> None:
    if against.ask is None:
        report.warnings.append("no live revision is known: labels were not compared with answers")
        return
    judged = [i for i, label in enumerate(part.labels) if label not in against.unseen]
    if len(judged) < len(part):
        new = ", ".join(sorted(against.unseen & set(part.labels)))
        report.warnings.append(f"{against.name} has hardly seen {new}: labels were not compared")
    if not judged:
        return
    answers = against.ask([part.images[i] for i in judged])
    found = estimate(answers, [part.labels[i] for i in judged], against.classes)
    report.suspects.extend(replace(s, place=judged[s.place]) for s in found.suspects)
    report.figures["mislabelled"] = {
        name: value for name, value in found.figures().items() if name != "suspects"
    }
    if found.share is None:
        report.warnings.append(
            f"{against.name} is sure of {found.sure} pictures only: that says nothing of the labels"
        )
    elif found.at_least > rules.max_mislabelled:
        report.refusals.append(
            f"{found.share:.0%} of the labels are wrong (at least {found.at_least:.1%}; "
            f"{rules.max_mislabelled:.0%} may be): {found.disagree} of the {found.sure} answers "
            f"that {against.name} is sure of are others, and it expects {found.expected:.1%}"
        )
    elif found.share > WORTH_SAYING:
        report.warnings.append(
            f"about {found.share:.1%} of the labels are wrong, by the answers of {against.name}"
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
