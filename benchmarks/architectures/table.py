"""The page of what became of the architectures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from benchmarks.architectures.choice import Architecture
from benchmarks.architectures.comparison import DIFFERENT, EQUAL, FAILED, REFUSED, Comparison

INTRODUCTION = """\
Every network of torchvision for classification and semantic segmentation, and one of each of 40
families of timm (drawn by seed {seed}): random weights, one `vision import` each, both servers
started, and their answers to 8 photographs set beside those of the original's own pipeline:
torchvision's `weights.transforms()`, timm's evaluation transform, PyTorch; of segmentation, the
share of a photograph's pixels with another label. So that answers depend on the picture, batch norm
takes its statistics from the photographs and from what the import asks a network itself, layers
whose scale begins near nought get 1, and the last layer is scaled, and then halved until the last
bit of the input moves no probability by more than 2.5e-5:
*certainty* is the mean of the original's largest probability, *classes* how many classes its best
answers have."""

PACKAGES = ("torch", "torchvision", "timm", "onnxruntime", "pillow")


def write_table(chosen: Sequence[Architecture], known: Mapping[str, Comparison], seed: int) -> str:
    """Markdown: counts, then a row an architecture."""
    found = [known[a.identity] for a in chosen if a.identity in known]
    counts = Counter(item.outcome for item in found)
    share = counts[EQUAL] / len(found) if found else 0.0
    lines = [
        "# Architectures",
        "",
        *INTRODUCTION.format(seed=seed).splitlines(),
        "",
        "```sh",
        f"nice -n 19 python -m benchmarks.architectures --seed {seed}",
        "python -m benchmarks.architectures --table benchmarks/ARCHITECTURES.md",
        "```",
        "",
        ", ".join(f"{name} {version(name)}" for name in PACKAGES) + ".",
        "",
        f"**{counts[EQUAL]} of {len(found)} equal within 1e-4 ({share:.1%})**, "
        f"{counts[REFUSED]} refused with a reason, {counts[DIFFERENT]} different, "
        f"{counts[FAILED]} failed; {len(chosen) - len(found)} of {len(chosen)} not run.",
        "",
        "| architecture | parameters, M | largest difference | certainty | classes | import, s | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_row(item) for item in found),
        "",
    ]
    left = [a.identity for a in chosen if a.identity not in known]
    if left:
        lines += [f"Not run: {', '.join(left)}.", ""]
    return "\n".join(lines)


def _row(item: Comparison) -> str:
    difference = "" if item.difference is None else f"{item.difference:.1e}"
    certainty = "" if item.certainty is None else f"{item.certainty:.2f}"
    said = "" if item.outcome == EQUAL else f"**{item.outcome}** {item.reason}".strip()
    return (
        f"| {item.architecture} | {item.parameters / 1e6:.1f} | {difference} | {certainty} | "
        f"{item.classes or ''} | {item.import_seconds:.0f} | {said.replace('|', '/')} |"
    )
