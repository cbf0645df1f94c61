"""The service itself as a candidate: its two servers, started as the manifest says."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

from PIL import Image

from artifact import ImageInput, model_contract
from benchmarks.candidate import Candidate, CandidateError, Program
from benchmarks.load import ROOT, Question
from benchmarks.networks import MODEL, SHIPPED, TITLES, Network
from common.ports import free_row
from local.manifest import Component, local_components
from local.service import command_line, free_ports, interpreters
from transformer.pictures.preprocess import prepare

PATH = f"/v1/models/{MODEL}:predict"
MAX_INSTANCES = 512
"""The one setting that is not the manifest's: the cost of a batch is measured up to this size."""

SERVICE = "service"
BFLOAT16 = "bfloat16"
BEFORE = "before"


def service() -> Candidate:
    return Candidate(
        name=SERVICE,
        title="this service",
        setting="transformer and predictor, one process each, as in the manifest",
        path=PATH,
        programs=_programs,
        networks=tuple(TITLES),
        batches=True,
    )


def in_bfloat16() -> Candidate:
    """The service with the one setting that trades a little exactness for speed."""
    return Candidate(
        name=BFLOAT16,
        title="this service in bfloat16",
        setting="the same with VISION_PRECISION=bfloat16, in which PyTorch itself computes",
        path=PATH,
        programs=lambda network, question: [
            replace(program, environment={**program.environment, "VISION_PRECISION": "bfloat16"})
            for program in _programs(network, question)
        ],
        networks=tuple(TITLES),
        batches=True,
    )


def checkout(commit: str, folder: Path) -> Path:
    """The files of a commit, in a folder of their own below ``folder``, kept for the next run.

    Raises:
        CandidateError: the commit is not here, as in a shallow clone.
    """
    target = folder / commit
    if not target.exists():
        archive = folder / "commit.tar"
        folder.mkdir(parents=True, exist_ok=True)
        command = ["git", "archive", "--format=tar", f"--output={archive}", commit]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CandidateError(f"commit {commit} cannot be read: {done.stderr.strip()}")
        with tarfile.open(archive) as packed:
            packed.extractall(target, filter="data")
        archive.unlink()
    return target


def before(commit: str, folder: Path) -> Candidate:
    """The service as it was at a commit; see ``checkout``."""
    target = checkout(commit, folder)
    candidate = at_commit(BEFORE, f"this service at {commit[:7]}", target)
    return replace(
        candidate, setting="the same two processes before the work on speed", networks=(SHIPPED,)
    )


def at_commit(name: str, title: str, folder: Path) -> Candidate:
    """Both servers as ``make run`` starts them in a checkout."""
    return Candidate(
        name=name,
        title=title,
        setting="transformer and predictor, one process each, under python -m local",
        path=PATH,
        programs=lambda network, question: _under_local(folder, network, question),
        networks=tuple(TITLES),
        batches=True,
    )


def tensor_question(network: Network, question: Question) -> Question:
    """The question as the predictor is asked it: its first image as a tensor."""
    spec = model_contract(network.root, MODEL, network.revision).input_as(ImageInput)
    encoded = json.loads(question.body)["instances"][0]["base64"]
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    body = json.dumps({"instances": [prepare(image, spec).tensor.tolist()]}).encode()
    return Question(body, question.expected[:1])


def _programs(network: Network, question: Question) -> list[Program]:
    ports = free_ports()
    predictor, transformer = local_components(ports, network.root, {MODEL: network.revision})
    return [
        _program(predictor, ports.predictor_http, tensor_question(network, question)),
        _program(transformer, ports.http, question),
    ]


def _program(component: Component, port: int, question: Question) -> Program:
    return Program(
        component.name,
        command_line(component, interpreters()[component.name]),
        ROOT,
        port,
        PATH,
        question,
        {**component.environment, "VISION_MAX_INSTANCES": str(MAX_INSTANCES)},
    )


def _under_local(folder: Path, network: Network, question: Question) -> list[Program]:
    """Both servers under the ``local`` of a checkout."""
    port = free_row(3).start
    command = [sys.executable, "-m", "local", "--port", str(port)]
    command += ["--models", str(network.root), "--model", f"{MODEL}={network.revision}"]
    venvs = interpreters()["predictor"].absolute().parents[2]
    most = str(MAX_INSTANCES)
    # Older commits read settings without the prefix.
    environment = {"VISION_MAX_INSTANCES": most, "MAX_INSTANCES": most, "VENVS": str(venvs)}
    return [Program("both", command, folder, port, PATH, question, environment)]
