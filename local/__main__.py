"""``make run``: start the service, say how to try it, stop it on Ctrl-C."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from artifact import (
    ArtifactError,
    Contract,
    RevisionNotFoundError,
    model_contract,
    open_revision,
    revisions_of,
)
from client.http import PredictClient, PredictError
from common.errors import StartError
from common.ports import LOCAL_HOST
from common.processes import ROOT, interruptible, say
from local.following import Follower
from local.manifest import DEFAULT, Ports, manifest_revision, manifests, service_of
from local.runtime import LocalRuntime
from local.service import LocalService, interpreters
from registry.errors import RegistryError
from tasks import TaskError, find_task

SAMPLES = ROOT / "samples"
ANSWER_SECONDS = 60.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vision serve", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME[=REVISION]",
        help="serve these models alone, of the folder of revisions; or FOLDER of a revision, as "
        "the ServingRuntime serves it; default: the manifest's",
    )
    parser.add_argument("--port", type=int, default=8080, help="of the predict URL")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of revisions")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME=REVISION",
        help="hold another revision than the manifest's, or one more model (make: REVISIONS)",
    )
    parser.add_argument("--name", default="", help="that the revision of FOLDER is served as")
    parser.add_argument("--service", default="", help="which InferenceService to start")
    options = parser.parse_args(arguments)
    try:
        follower = follower_of(options, os.environ)
        service = prepare(options, follower)
        with interruptible(), service:
            samples = (
                [sample_of(name, contract) for name, contract in service.contracts.items()]
                if isinstance(service, LocalRuntime)
                else samples_of(options.models, list(service.revisions))
            )
            ask(service.url, samples)
            say(greeting(service.url, samples))
            service.wait(lambda: follower.look(service) if follower else None)
    except (StartError, ValueError, ArtifactError) as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("\nstopped")
    return 0


def chosen(pairs: Sequence[str]) -> dict[str, str]:
    """Revisions by model name; raises ValueError."""
    found = {}
    for pair in pairs:
        name, _, revision = pair.partition("=")
        if not name or not revision:
            raise ValueError(f"REVISIONS (--model): expected NAME=REVISION, got {pair!r}")
        found[name] = revision
    return found


def named(names: Sequence[str], root: Path) -> dict[str, str]:
    """The revision of each model to serve: the one said, the manifest's, or the newest.

    Raises:
        ValueError: the folder of revisions has no such model; lists those it has.
    """
    found = {}
    for item in names:
        name, _, revision = item.partition("=")
        there = revisions_of(root, name)
        if not there:
            known = ", ".join(sorted({p.parents[1].name for p in root.glob("*/*/model.json")}))
            raise ValueError(f"model {name!r} not found in {root}; available: {known or 'none'}")
        pinned = manifest_revision(name)
        found[name] = revision or (pinned if pinned in there else None) or there[-1]
    return found


def service_for(names: Sequence[str]) -> str:
    """The InferenceService whose manifest has all of these models; the default one if none has."""
    found = {service_of(item.partition("=")[0]) for item in names}
    return (found.pop() if len(found) == 1 else None) or DEFAULT


def follower_of(options: argparse.Namespace, environment: Mapping[str, str]) -> Follower | None:
    """What the registry says is live, for models whose revision nobody says; None for a folder.

    Raises:
        StartError: the registry cannot be opened.
    """
    if any("/" in name for name in options.names):
        return None
    said = [name for name, _, revision in (n.partition("=") for n in options.names) if revision]
    return Follower.named(environment, options.models, [*said, *chosen(options.model)])


def prepare(options: argparse.Namespace, follower: Follower | None = None) -> LocalService:
    """The service, of which all that can be known beforehand has been checked.

    Raises:
        ValueError: a service, model or revision that is not there, where the message lists what
            is; a card or a folder that cannot be used.
        ArtifactError: a card that cannot be read.
    """
    if any("/" in name for name in options.names):
        if len(options.names) > 1 or options.model:
            raise ValueError("a folder is served alone: vision serve FOLDER")
        folder, ports = Path(options.names[0]), Ports(options.port, options.port + 1)
        return LocalRuntime(ports, interpreters(), folder, options.name)
    if options.service and options.service not in manifests():
        known = ", ".join(manifests())
        raise ValueError(f"SERVICE={options.service} (--service) not found; available: {known}")
    if not options.models.is_dir():
        raise ValueError(f"the folder of models, {options.models}, is not there")
    if not os.access(options.models, os.R_OK | os.X_OK):
        raise ValueError(f"the folder of models, {options.models}, cannot be read: no permission")
    revisions = {**named(options.names, options.models), **chosen(options.model)}

    def served(models: dict[str, str]) -> LocalService:
        return LocalService(
            Ports(options.port, options.port + 1),
            interpreters(),
            options.models,
            models,
            service=options.service or service_for(options.names),
            alone=bool(options.names),
        )

    service = served(revisions)
    if live := _live(service, follower):
        revisions.update(live)
        service = served(revisions)
    for name, revision in service.revisions.items():
        source = "REVISIONS (--model) " if name in revisions else ""
        try:
            open_revision(options.models, name, revision)
        except RevisionNotFoundError as error:
            there = revisions_of(options.models, name)
            if revision in there:
                raise  # there, but not to be read
            raise ValueError(
                f"{source}{name}={revision}: revision {revision!r} of {name} not found "
                f"in {options.models}; available: {', '.join(there) or 'none'}"
            ) from error
        except ArtifactError as error:
            raise ValueError(f"{source}{name}={revision}: {error}") from error
    return service


def _live(service: LocalService, follower: Follower | None) -> dict[str, str]:
    """Revisions that are live by the registry, and that the service would not have held."""
    if follower is None:
        return {}
    try:
        live = follower.live(service.revisions)
    except (RegistryError, ArtifactError, OSError) as error:
        say(f"the registry is not followed: {error}")
        return {}
    live = {name: live[name] for name in live if live[name] != service.revisions[name]}
    for name, revision in live.items():
        say(f"{name}/{revision} is live by the registry; REVISIONS={name}=… holds another one")
    return live


class Sample(NamedTuple):
    """How to try a model: the picture, relative to the repository, and what is asked.

    Attributes:
        missing: why there is no picture for it.
    """

    model: str
    contract: Contract | None = None
    picture: str = ""
    missing: str = ""


def samples_of(root: Path, models: Sequence[str]) -> list[Sample]:
    """A picture that fits each model's task and labels.

    Args:
        root: folder of the models' cards.
    """
    found = []
    for name in dict.fromkeys(models):
        try:
            found.append(sample_of(name, model_contract(root, name)))
        except ArtifactError as error:
            found.append(Sample(name, missing=str(error)))
    return found


def sample_of(name: str, contract: Contract) -> Sample:
    """Likewise, of one model."""
    pictures = [path.name for path in SAMPLES.iterdir()]
    try:
        picture = find_task(contract.task).sample(contract, pictures)
    except LookupError as error:
        return Sample(name, missing=str(error))
    return Sample(name, contract, f"{SAMPLES.name}/{picture}")


def ask(url: str, samples: Sequence[Sample], seconds: float = ANSWER_SECONDS) -> None:
    """Wait until every model gives an answer of its task to its sample.

    Raises:
        StartError: one does not in time, or answers something else.
    """
    deadline = time.monotonic() + seconds
    for model, contract, picture, _ in samples:
        if contract is None:
            continue
        task = find_task(contract.task)
        question = task.question((ROOT / picture).read_bytes())
        while True:
            try:
                with PredictClient(url) as client:
                    task.read_answer(contract, client.ask(model, question).body)
                break
            except (PredictError, TaskError) as error:
                starting = isinstance(error, PredictError) and error.status in (None, 503)
                if not starting or time.monotonic() > deadline:
                    raise StartError(f"{model} does not answer {picture}: {error}") from None
            time.sleep(0.1)


def greeting(url: str, samples: Sequence[Sample]) -> str:
    """How to try each model: a command to paste."""
    url = url.replace(LOCAL_HOST, "localhost")
    lines = ["", f"Ready: {url}", "", "In another shell:", ""]
    for model, contract, picture, missing in samples:
        if contract is None:
            lines += [f"  {model}: no sample ({missing})", ""]
            continue
        command = find_task(contract.task).curl(f"{url}/v1/models/{model}:predict", picture, model)
        lines += [*(f"  {line}" for line in command.splitlines()), ""]
    lines += ["Ctrl-C stops it."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
