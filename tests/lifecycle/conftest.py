from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.place import Place
from tests.conftest import write_small
from tests.lifecycle.stubs import place_of


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Of an empty folder's store, with a live revision of ``mnist``."""
    write_small(tmp_path / "models", "mnist", "1", 1)
    return place_of(tmp_path)
