"""What a zip archive of PyTorch's is, told by the names in it: nothing of it is opened."""

from __future__ import annotations

import zipfile
from pathlib import Path

TORCHSCRIPT, EXPORTED, PICKLED = "TorchScript", "torch.export", "torch.save"


def kind_of(path: Path) -> str | None:
    """One of the three; None of another file."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    inner = {name.partition("/")[2] for name in names} | set(names)
    if "archive_format" in inner or any(name.startswith("models/") for name in inner):
        return EXPORTED
    if "serialized_exported_program.json" in inner:
        return EXPORTED
    if "constants.pkl" in inner and any(name.startswith("code/") for name in inner):
        return TORCHSCRIPT
    return PICKLED if "data.pkl" in inner else None
