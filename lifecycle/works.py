"""What does each step, and on which kind of service.

A step's room is imported when the step is at work, and not before: who rolls out needs no torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping

from lifecycle.found import Found
from lifecycle.machine import Work
from lifecycle.place import Place
from lifecycle.run import Run
from lifecycle.step import Step
from local.following import LOCAL

MODULES = {
    Step.CHECKED: "lifecycle.checking:check",
    Step.TRAINED: "lifecycle.fitting:train",
    Step.EVALUATED: "lifecycle.evaluation:evaluate",
    Step.PUBLISHED: "lifecycle.publication:publish",
}
ROLLOUT_HERE = "lifecycle.promotion:promote"
ROLLOUT_ON_A_CLUSTER = "lifecycle.cluster_rollout:promote"


def works_of(service: str, steps: Collection[Step]) -> Mapping[Step, Work]:
    """Of the steps that this process may do."""
    rollout = ROLLOUT_HERE if service == LOCAL else ROLLOUT_ON_A_CLUSTER
    return {step: _work(MODULES.get(step, rollout)) for step in steps}


def _work(name: str) -> Work:
    module, _, function = name.partition(":")

    def work(place: Place, run: Run) -> Found:
        found: Found = getattr(importlib.import_module(module), function)(place, run)
        return found

    return work
