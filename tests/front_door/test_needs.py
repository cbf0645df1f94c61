"""A skip is summed up with its reason, and fails where the thing was to be there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TESTS = """
import pytest
from tests.needs import missing

@pytest.fixture
def data():
    missing("data", "no data here")

def test_one(data): ...
def test_two(data): ...
def test_other(): pytest.skip("the moon is full")
@pytest.mark.parametrize("data", [1])
def test_a_parameter_of_that_name(data): ...
"""


def run(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.needs", "-q", "--rootdir", ".", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TESTS_REQUIRE": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_skips_are_summed_up_by_reason(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "    2 × data: no data here\n    1 × the moon is full\n" in done.stdout
    assert "1 passed, 3 skipped" in done.stdout


@pytest.mark.parametrize("names", ["data", "envoy data", "all"])
def test_what_was_to_be_there_fails(tmp_path: Path, names: str) -> None:
    done = run(tmp_path, TESTS_REQUIRE=names)
    assert done.returncode == 1
    assert "no data here; TESTS_REQUIRE says that this machine has data" in done.stdout
    assert "1 passed, 1 skipped, 2 errors" in done.stdout


def test_an_unknown_need_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, TESTS_REQUIRE="date")
    assert done.returncode == 4
    assert "TESTS_REQUIRE: date is none of data, " in done.stderr


def test_what_needs_something_can_be_left_out(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "not needs_data")
    assert "1 passed, 1 skipped, 2 deselected" in done.stdout
