"""A release's notes are its part of the changelog."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.conftest import ROOT

PROGRAM = ROOT / ".ci" / "release_notes.py"


def notes(version: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), version]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_versions_notes_are_its_own_part_alone() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (\S+)", text, re.MULTILINE)
    for version in versions:
        done = notes(version)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() in text
        assert "\n## " not in done.stdout
    assert len({notes(version).stdout for version in versions}) == len(versions)


def test_a_version_that_the_changelog_does_not_know_is_refused() -> None:
    done = notes("99.0.0")
    assert done.returncode == 1
    assert "says nothing of 99.0.0" in done.stderr
    assert not done.stdout
