"""``make run``: start the service, say how to try it, stop it on Ctrl-C."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from artifact import ArtifactError, model_contract
from common.errors import StartError
from common.ports import LOCAL_HOST
from common.processes import ROOT, interruptible
from local.manifest import DEFAULT, Ports, manifests, model_names
from local.service import LocalService, interpreters
from tasks import find_task

SAMPLES = ROOT / "samples"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vision serve", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="of the predict URL")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of revisions")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME=REVISION",
        help="hold another revision than the manifest's",
    )
    parser.add_argument(
        "--service", default=DEFAULT, choices=manifests(), help="which InferenceService to start"
    )
    options = parser.parse_args(arguments)
    chosen = dict(item.partition("=")[::2] for item in options.model)
    ports = Ports(options.port, options.port + 1)
    try:
        if not all(chosen.values()):
            raise ValueError("--model takes NAME=REVISION")
        service = LocalService(
            ports, interpreters(), options.models, chosen, service=options.service
        )
    except ValueError as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    try:
        with interruptible(), service:
            models = [*model_names(manifests()[options.service]), *chosen]
            print(greeting(service.url, options.models, models), flush=True)
            while (name := service.ended()) is None:
                time.sleep(0.3)
            raise StartError(f"the {name} ended")
    except StartError as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 0


def greeting(url: str, root: Path, models: Sequence[str]) -> str:
    """How to try each model: a command with a picture that fits its task and labels.

    Args:
        root: folder of the models' cards.
    """
    url = url.replace(LOCAL_HOST, "localhost")
    pictures = [path.name for path in SAMPLES.iterdir()]
    lines = ["", "Ready. In another shell:", ""]
    for name in dict.fromkeys(models):
        try:
            contract = model_contract(root, name)
            task = find_task(contract.task)
            picture = f"{SAMPLES.name}/{task.sample(contract, pictures)}"
        except (ArtifactError, LookupError) as error:
            lines += [f"  {name}: no sample ({error})", ""]
            continue
        command = task.curl(f"{url}/v1/models/{name}:predict", picture, name)
        lines += [*(f"  {line}" for line in command.splitlines()), ""]
    lines += ["Ctrl-C stops it.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
