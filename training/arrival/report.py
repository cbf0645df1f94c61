"""The report of an arrival: Markdown with two sheets of pictures, and the same for programs."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from PIL import Image, ImageDraw

from training.arrival.check import ArrivalReport
from training.arrival.part import ArrivedPart

EXAMPLES, SHOWN = 10, 60
"""Pictures of a class, and of those that were left out or are not believed."""
CELL, CAPTION, NAME_WIDTH = 64, 22, 120
COLUMNS = 10
LETTERS = 11
"""Of a caption that a cell has room for."""


def files_of(report: ArrivalReport, part: ArrivedPart, title: str) -> dict[str, bytes]:
    """``report.md``, ``report.json`` and ``classes.png``; ``doubtful.png`` where there are such."""
    doubtful = _doubtful(report, part)
    document = json.dumps(asdict(report), ensure_ascii=False, indent=1, sort_keys=True)
    files = {"report.json": document.encode(), "classes.png": _classes(part)}
    if doubtful:
        files["doubtful.png"] = _png(_sheet([(place, text) for place, text, _ in doubtful], part))
    files["report.md"] = _text(report, part, title, doubtful).encode()
    return files


def _text(
    report: ArrivalReport, part: ArrivedPart, title: str, doubtful: list[tuple[int, str, str]]
) -> str:
    left = len(report.left_out)
    verdict = "Refused" if report.refusals else f"Accepted, {left} pictures left out"
    lines = [f"# {title}", "", f"{len(part)} pictures, {report.arrived}. **{verdict}.**", ""]
    for head, said in (("Refused because", report.refusals), ("To be known", report.warnings)):
        if said:
            lines += [f"## {head}", "", *(f"- {sentence}" for sentence in said), ""]
    if part.unreadable:
        unread = list(part.unreadable.items())[:SHOWN]
        lines += ["## Not readable", "", *_table(("file", "why"), unread), ""]
    counts = report.figures.get("classes", {})
    rows = [(name, str(count)) for name, count in counts.items()]
    lines += ["## Classes", "", *_table(("class", "pictures"), rows), ""]
    lines += ["![Examples of each class](classes.png)", ""]
    if drift := report.figures.get("drift"):
        figures = [
            (name, *(str(f.get(key, "")) for key in ("before", "now", "distance")), f"{f['p']:.2g}")
            for name, f in drift.items()
        ]
        named = ("", "before", "now", "distance", "p")
        lines += ["## Beside the version before", "", *_table(named, figures), ""]
    if found := report.figures.get("mislabelled"):
        share = "not known" if found["share"] is None else f"{found['share']:.1%}"
        lines += [
            "## Labels",
            "",
            f"Of {found['sure']} sure answers of the live revision {found['disagree']} are not the "
            f"label; {found['expected']:.1%} are expected. Wrong labels: {share}, at least "
            f"{found['at_least']:.1%}.",
            "",
        ]
    if doubtful:
        doubts = [(part.names[place], part.labels[place], why) for place, _, why in doubtful]
        lines += ["## Left out, or doubtful", "", "![Pictures](doubtful.png)", ""]
        lines += [*_table(("picture", "label", "why"), doubts), ""]
    return "\n".join(lines)


def _doubtful(report: ArrivalReport, part: ArrivedPart) -> list[tuple[int, str, str]]:
    """Place, caption and reason: those left out and, first where it is refused, the suspects."""
    suspects = [
        (s.place, f"{s.label}\n{s.answer}?", f"{s.answer}, by {s.probability:.1%}")
        for s in report.suspects
    ]
    left = [(place, part.labels[place], why) for place, why in report.left_out.items()]
    return [*suspects[: SHOWN // 2], *left[: SHOWN // 2]]


def _classes(part: ArrivedPart) -> bytes:
    """A row of examples for each class."""
    names = sorted(set(part.labels))
    sheet = Image.new("RGB", (NAME_WIDTH + EXAMPLES * CELL, max(1, len(names)) * CELL), "white")
    draw = ImageDraw.Draw(sheet)
    for row, name in enumerate(names):
        places = [i for i, label in enumerate(part.labels) if label == name]
        draw.text((4, row * CELL + CELL // 2 - 6), f"{name[:16]} ({len(places)})", "black")
        for column, place in enumerate(places[:: max(1, len(places) // EXAMPLES)][:EXAMPLES]):
            _paste(sheet, part, place, NAME_WIDTH + column * CELL, row * CELL)
    return _png(sheet)


def _sheet(cells: Sequence[tuple[int, str]], part: ArrivedPart) -> Image.Image:
    rows, height = -(-len(cells) // COLUMNS), CELL + CAPTION
    sheet = Image.new("RGB", (COLUMNS * CELL, rows * height), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (place, text) in enumerate(cells):
        row, column = divmod(index, COLUMNS)
        _paste(sheet, part, place, column * CELL, row * height)
        caption = "\n".join(line[:LETTERS] for line in text.split("\n"))
        draw.multiline_text((column * CELL + 1, row * height + CELL), caption, "black", spacing=0)
    return sheet


def _paste(sheet: Image.Image, part: ArrivedPart, place: int, left: int, top: int) -> None:
    picture = Image.fromarray(part.images[place]).convert("RGB")
    side = CELL - 4
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    kind = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
    sheet.paste(picture.resize(size, kind), (left + 2, top + 2))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(c.replace("|", r"\|") for c in line) + " |" for line in lines]
