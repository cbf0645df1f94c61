"""What the gate's image has to hold."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT

SCRIPT = """
import sys
import rollout.gate
ours = {name for name in sys.modules if name.startswith("rollout")}
assert ours == {"rollout", "rollout.errors", "rollout.gate", "rollout.labelled"}, ours
assert not {"matplotlib", "torch", "httpx", "yaml"} & {
    name for name in sys.modules if name not in before
}
"""


def test_the_gates_program_needs_no_more_than_serving_has() -> None:
    """Its image is the transformer's: nothing of the commands, of torch or of plots."""
    before = "import kserve, sys\nbefore = set(sys.modules)\n"
    done = subprocess.run(
        [sys.executable, "-c", before + SCRIPT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
