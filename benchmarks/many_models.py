"""Many models in one predictor, of which few are busy: ``python -m benchmarks.many_models``.

Copies of one revision, each a model of its own, lie in a tree. A predictor over the tree is asked
for the busy ones, and then for all in turns; beside it one over a tree of the busy ones alone.
Memory is the process's own, from ``/proc``. It fails where the busy ones take more than they do
alone, or where a request is neither answered nor told when to come again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from artifact import CARD_FILE, Contract, Revision, open_folder
from benchmarks.processes import memory
from common.ports import LOCAL_HOST, free_row
from common.processes import ROOT
from local.manifest import read_component
from local.service import interpreters
from tasks import find_task

START_SECONDS = 120.0
ROUNDS = 6
"""Times that every model is asked in turns."""
MARGIN = 1.1
"""Of what the busy ones take alone: how much more they may take among many."""


def plant(revision: Revision, root: Path, count: int) -> list[str]:
    """A tree of ``count`` models that are copies of a revision; gives their names."""
    names = [f"{revision.card.name}-{number:02}" for number in range(count)]
    for name in names:
        folder = root / name / "1"
        folder.mkdir(parents=True)
        for path in revision.folder.iterdir():
            if path.name != CARD_FILE:
                (folder / path.name).symlink_to(path.resolve())
        card = replace(revision.card, name=name, revision="1")
        (folder / CARD_FILE).write_text(card.to_json(), encoding="utf-8")
    return names


class Tree:
    """A predictor over a tree of models."""

    def __init__(self, root: Path, max_bytes: int, contract: Contract) -> None:
        (port,) = free_row(1)
        command = [str(interpreters()["predictor"]), "-m", "predictor", f"--model={root}"]
        command += [f"--http_port={port}", "--enable_grpc=false", "--workers=1"]
        environment = {
            **os.environ,
            **read_component("predictor").environment,
            "VISION_HOST": LOCAL_HOST,
            "VISION_MAX_MODEL_BYTES": str(max_bytes),
        }
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._client = httpx.Client(
            base_url=f"http://{LOCAL_HOST}:{port}", timeout=60, trust_env=False
        )
        probe = find_task(contract.task).probe(contract)
        tensor: dict[str, Any] = {
            "name": contract.input.name,
            "datatype": contract.input.dtype,
            "shape": list(probe.shape),
            "data": probe.ravel().tolist(),
        }
        self._body = json.dumps({"inputs": [tensor]}).encode()
        self._await_ready()

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait()

    @property
    def megabytes(self) -> float:
        return memory([self._process.pid]).resident / 1e6

    def ask(self, model: str) -> int:
        """The status of one request; raises where it is no use to who asked."""
        found = self._client.post(f"/v2/models/{model}/infer", content=self._body)
        if found.status_code != 200 and "retry-after" not in found.headers:
            raise OSError(f"{model}: {found.status_code}: {found.text[:200]}")
        return found.status_code

    def bring(self, models: list[str]) -> None:
        """Ask until each has answered."""
        for model in models:
            while self.ask(model) != 200:
                time.sleep(0.2)

    def _await_ready(self) -> None:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                if self._client.get("/v2/health/ready").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            if self._process.poll() is not None or time.monotonic() > until:
                raise OSError("the predictor did not start")
            time.sleep(0.05)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_models", description=__doc__)
    parser.add_argument("--revision", type=Path, default=ROOT / "models" / "land-cover" / "1")
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--busy", type=int, default=5)
    parser.add_argument(
        "--max-bytes", type=int, default=70_000_000, help="VISION_MAX_MODEL_BYTES (70,000,000)"
    )
    options = parser.parse_args(arguments)
    revision = open_folder(options.revision)
    contract = revision.card.contract
    statuses: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        few, many = Path(folder) / "few", Path(folder) / "many"
        names = plant(revision, few, options.busy)
        with Tree(few, options.max_bytes, contract) as alone:
            alone.bring(names)
            by_themselves = alone.megabytes
        names = plant(revision, many, options.models)
        with Tree(many, options.max_bytes, contract) as tree:
            ready = tree.megabytes
            tree.bring(names[: options.busy])
            busy = most = tree.megabytes
            for _ in range(ROUNDS):
                for name in names:
                    statuses[tree.ask(name)] += 1
                    most = max(most, tree.megabytes)
    print(f"{options.models} models of {revision.card.identity}, {options.busy} busy, in MB:")
    print("| ready | busy ones | busy ones alone | most, all asked in turns | told to come again |")
    print("| --- | --- | --- | --- | --- |")
    refused = sum(statuses.values()) - statuses[200]
    print(
        f"| {ready:.0f} | {busy:.0f} | {by_themselves:.0f} | {most:.0f} "
        f"| {refused} of {sum(statuses.values())} |"
    )
    return int(busy > MARGIN * by_themselves)


if __name__ == "__main__":
    sys.exit(main())
