"""Labelled pictures in files, of whatever form they are brought in.

| form | what is read |
| --- | --- |
| a folder of folders | a class each, named as the folder |
| a folder, with a labels file | the pictures that the `.csv` (`file,label`) or `.json` names |
| `.npz` | `images` (uint8), `labels` (numbers or names), `classes` (names) if there are |
| `.parquet` | columns `image` (encoded, as Hugging Face has it) and `label` |
| IDX, packed or not | `…-images-idx3-ubyte`, its labels beside it |

Files are untrusted: the transformer decodes the pictures, within its limits; nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.arrival import forms
from training.arrival.part import ArrivedPart, UnreadablePartError


def read_part(path: Path, labels: Path | None = None, names: Sequence[str] = ()) -> ArrivedPart:
    """Read the pictures at ``path``.

    Args:
        labels: the file that has their labels, where it is another one.
        names: of the classes, where labels are numbers and the part does not name them.

    Raises:
        UnreadablePartError: it is of no form that is read, or a label is missing.
    """
    try:
        part = forms.read(path, labels, names)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UnreadablePartError(f"{path} cannot be read: {error}") from None
    if not part.names and not part.unreadable:
        raise UnreadablePartError(f"{path} has no labelled pictures; {forms.FORMS}")
    return _of_one_mode(part)


def _of_one_mode(part: ArrivedPart) -> ArrivedPart:
    """Grey where every picture is, so that the same picture in another file is the same one."""
    grey = [i.ndim == 2 or bool((i == i[..., :1]).all()) for i in part.images]
    if all(grey):
        part.images = [i if i.ndim == 2 else np.ascontiguousarray(i[..., 0]) for i in part.images]
    else:
        part.images = [np.stack([i] * 3, axis=-1) if i.ndim == 2 else i for i in part.images]
    return part
