"""Baselines that were chosen or learnt: a file for each revision."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from artifact.fields import NAME, REVISION
from artifact.statistics import BINS
from common.errors import StartError
from monitoring.drift.counts import Counts, Key

SEPARATOR = "@"


def read_baselines(folder: Path) -> dict[Key, Counts]:
    """All of a folder, which need not be there.

    Raises:
        StartError: a file is none of these.
    """
    found: dict[Key, Counts] = {}
    for path in sorted(folder.glob(f"*{SEPARATOR}*.json")):
        name, _, revision = path.stem.partition(SEPARATOR)
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["bins"] != BINS:
                raise ValueError(f"has bins of version {document['bins']}, not {BINS}")
            found[name, revision] = {
                statistic: {str(place): int(count) for place, count in bins.items()}
                for statistic, bins in document["counts"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StartError(f"{path} is no baseline: {error}; remove it") from None
    return found


def write_baseline(folder: Path, key: Key, counts: Counts) -> Path:
    """Keep a revision's baseline; the one that was there is replaced.

    Raises:
        StartError: it cannot be written, or names nothing.
    """
    name, revision = key
    if not (re.fullmatch(NAME.expression, name) and re.fullmatch(REVISION.expression, revision)):
        raise StartError(f"{name}/{revision} is no model and revision, as mnist/1")
    path = folder / f"{name}{SEPARATOR}{revision}.json"
    document: Mapping[str, object] = {"bins": BINS, "counts": counts}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(document, indent=1), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise StartError(f"{path} cannot be written: {error.strerror}") from None
    return path
