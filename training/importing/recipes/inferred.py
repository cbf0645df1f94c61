"""The recipe with which a network is right most often, on pictures whose labels are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from artifact import ImageInput
from training.importing.errors import ImportRefusedError
from training.importing.pictures import tensors
from training.importing.recipes.complete import read_input, size_of
from training.importing.recipes.known import KNOWN, known_recipe
from training.importing.request import Request
from training.importing.source import Opened


def labelled(folder: Path, labels: tuple[str, ...]) -> list[tuple[Path, int]]:
    """Pictures of ``folder/label/picture`` with their label's index.

    Raises:
        ImportRefusedError: a folder is named after no label, or there are no pictures.
    """
    found = []
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        if inner.name not in labels:
            raise ImportRefusedError(
                f"--pictures: the folder {inner.name!r} is named after no label"
            )
        index = labels.index(inner.name)
        found += [(path, index) for path in sorted(inner.iterdir()) if path.is_file()]
    if not found:
        raise ImportRefusedError(f"--pictures {folder}: no pictures as label/picture.jpg in it")
    return found


def infer(
    opened: Opened, request: Request, output: str | None, labels: tuple[str, ...]
) -> tuple[ImageInput, str]:
    """Try every known recipe at the network's size.

    Returns:
        The one with the most right answers, of equals the one that is surest of them; and what
        the user is told.
    """
    fields: dict[str, Any] = {**opened.recipe, **request.recipe}
    height, width = size_of(fields)
    pictures = labelled(Path(request.pictures), labels)
    right = np.array([index for _, index in pictures])
    found: list[tuple[int, float, str, ImageInput]] = []
    for name in KNOWN:
        spec = read_input({**fields, **known_recipe(name, height, width), **request.recipe})
        answers = opened.answer(tensors([path for path, _ in pictures], spec))
        scores = answers[output or next(iter(answers))].reshape(len(pictures), -1)
        scores = scores - scores.max(1, keepdims=True)
        certainty = scores[np.arange(len(right)), right] - np.log(np.exp(scores).sum(1))
        hits = int((scores.argmax(1) == right).sum())
        found.append((hits, float(certainty.mean()), name, spec))
    found.sort(key=lambda entry: entry[:2], reverse=True)
    best = found[0]
    others = ", ".join(f"{name} {hits}" for hits, _, name, _ in found[1:4])
    note = (
        f"the recipe is found by pictures, so it is a guess: {best[2]}, right on {best[0]} of "
        f"{len(pictures)} (next: {others})"
    )
    return best[3], note
