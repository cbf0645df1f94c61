"""How each peer is started. Two cores are theirs as they are the service's.

Where a peer leaves a choice it has what serves two cores best: batches where it can make them, and
one torch thread a process where other processes or threads of it need the second core.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.candidate import Candidate, Program
from benchmarks.load import ROOT, Question
from benchmarks.networks import MODEL, TITLES, Network
from benchmarks.peers.variables import (
    BATCH_VARIABLE,
    PORT_VARIABLE,
    THREADS_VARIABLE,
    WORKERS_VARIABLE,
)
from benchmarks.questions import v1_body, v2_body
from benchmarks.service import PATH, tensor_question
from common.ports import free_row
from common.processes import environment_folder as installed
from local.service import free_ports

BATCH = Network.batch
KSERVE_V1, KSERVE_GRPC = "kserve-v1", "kserve-grpc"
FASTAPI, LITSERVE, BENTOML = "fastapi", "litserve", "bentoml"
MLSERVER, TORCHSERVE = "mlserver", "torchserve"


@dataclass(frozen=True)
class Peer:
    """A candidate and the environment that it runs in: ``<VENVS>/bench-<environment>``."""

    candidate: Candidate
    environment: str

    @property
    def installed(self) -> bool:
        return environment_folder(self.environment).with_suffix(".done").exists()


def peers(work: Path) -> list[Peer]:
    """All peers, installed or not.

    Args:
        work: a folder for what some of them want on disk before they start.
    """
    return [
        _kserve(KSERVE_V1, "KServe sample pair, v1", "v1"),
        _kserve(KSERVE_GRPC, "KServe sample pair, gRPC", "grpc-v2"),
        _peer(
            FASTAPI,
            "FastAPI",
            "two processes, one torch thread each, no batching",
            "/predict",
            _fastapi,
        ),
        _peer(LITSERVE, "LitServe", f"one worker, batches to {BATCH}, 2 ms", "/predict", _litserve),
        _peer(BENTOML, "BentoML", f"one worker, adaptive batches to {BATCH}", "/predict", _bentoml),
        _peer(
            MLSERVER,
            "MLServer",
            f"one process, adaptive batches to {BATCH}, 2 ms",
            f"/v2/models/{MODEL}/infer",
            lambda n, q: _mlserver(work / MLSERVER, n, q),
            v2_body,
        ),
        _peer(
            TORCHSERVE,
            "TorchServe",
            f"one worker, batches to {BATCH}, 2 ms",
            f"/predictions/{MODEL}",
            lambda n, q: _torchserve(work / TORCHSERVE, n, q),
        ),
    ]


def environment_folder(name: str) -> Path:
    """Of a peer's own environment."""
    return installed(f"bench-{name}").absolute()


def _peer(
    name: str,
    title: str,
    setting: str,
    path: str,
    programs: Callable[[Network, Question], list[Program]],
    body: Callable[..., bytes] = v1_body,
) -> Peer:
    candidate = Candidate(name, title, setting, path, programs, tuple(TITLES), body=body)
    return Peer(candidate, name)


def _kserve(name: str, title: str, protocol: str) -> Peer:
    def programs(network: Network, question: Question) -> list[Program]:
        port, predictor_http, predictor_grpc = free_row(3)
        python = str(environment_folder("kserve") / "bin" / "python")
        common = [f"--model_name={MODEL}", "--workers=1"]
        hop = predictor_grpc if protocol == "grpc-v2" else predictor_http
        predictor = [
            *(python, "-m", "benchmarks.peers.kserve_predictor", *common),
            f"--http_port={predictor_http}",
            f"--grpc_port={predictor_grpc}",
        ]
        transformer = [
            *(python, "-m", "benchmarks.peers.kserve_transformer", *common),
            f"--http_port={port}",
            "--enable_grpc=false",
            f"--predictor_host=127.0.0.1:{hop}",
            f"--predictor_protocol={protocol}",
        ]
        tensor = tensor_question(network, question)
        environment = _environment(network, port, threads=2)
        return [
            Program("predictor", predictor, ROOT, predictor_http, PATH, tensor, environment),
            Program("transformer", transformer, ROOT, port, PATH, question, environment),
        ]

    setting = "transformer and predictor, one process each, no batching"
    return Peer(
        Candidate(name, title, setting, PATH, programs, tuple(TITLES), batches=True), "kserve"
    )


def _fastapi(network: Network, question: Question) -> list[Program]:
    port = free_ports().http
    command = [
        *(_tool(FASTAPI, "uvicorn"), "benchmarks.peers.fastapi_server:app", "--workers", "2"),
        *("--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"),
    ]
    return [_program(command, network, port, "/predict", question, threads=1)]


def _litserve(network: Network, question: Question) -> list[Program]:
    port = free_ports().http
    command = [_tool(LITSERVE, "python"), "-m", "benchmarks.peers.litserve_server"]
    return [_program(command, network, port, "/predict", question, threads=1)]


def _bentoml(network: Network, question: Question) -> list[Program]:
    port = free_ports().http
    command = [
        *(_tool(BENTOML, "bentoml"), "serve", "benchmarks.peers.bentoml_server:Classifier"),
        *("--host", "127.0.0.1", "--port", str(port), "--working-dir", str(ROOT)),
    ]
    program = _program(command, network, port, "/predict", question, threads=1)
    program.environment.update(BENTOML_DO_NOT_TRACK="True")
    return [program]


def _mlserver(folder: Path, network: Network, question: Question) -> list[Program]:
    port, grpc_port, metrics_port = free_row(3)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": grpc_port,
        "metrics_port": metrics_port,
        "parallel_workers": 0,
        "use_structured_logging": False,
        "debug": False,
    }
    model = {
        "name": MODEL,
        "implementation": "benchmarks.peers.mlserver_runtime.NetworkRuntime",
        "max_batch_size": network.batch,
        "max_batch_time": 0.002,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    # Its parallel workers end at their start with the uvloop that it installs (0.22).
    command = [_tool(MLSERVER, "mlserver"), "start", str(folder)]
    path = f"/v2/models/{MODEL}/infer"
    return [_program(command, network, port, path, question, threads=network.workers)]


def _torchserve(folder: Path, network: Network, question: Question) -> list[Program]:
    port, management_port, metrics_port = free_row(3)
    store = folder / "store" / MODEL
    (store / "MAR-INF").mkdir(parents=True, exist_ok=True)
    # What torch-model-archiver would pack; TorchServe takes the folder as well.
    handler = ROOT / "benchmarks" / "peers" / "torchserve_handler.py"
    (store / handler.name).write_bytes(handler.read_bytes())
    manifest = {
        "runtime": "python",
        "archiverVersion": "0.12.0",
        "model": {"modelName": MODEL, "handler": f"{handler.name}:handle", "modelVersion": "1.0"},
    }
    (store / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
    version = {
        "1.0": {
            "defaultVersion": True,
            "marName": MODEL,
            "minWorkers": network.workers,
            "maxWorkers": network.workers,
            "batchSize": network.batch,
            "maxBatchDelay": 2,
            "responseTimeout": 60,
        }
    }
    configuration = [
        f"inference_address=http://127.0.0.1:{port}",
        f"management_address=http://127.0.0.1:{management_port}",
        f"metrics_address=http://127.0.0.1:{metrics_port}",
        "job_queue_size=4096",
        f"model_store={store.parent}",
        f"load_models={MODEL}",
        "models=" + json.dumps({MODEL: version}),
    ]
    (folder / "config.properties").write_text("\n".join(configuration) + "\n")
    command = [
        *(_tool(TORCHSERVE, "torchserve"), "--start", "--foreground", "--disable-token-auth"),
        *("--ts-config", str(folder / "config.properties"), "--model-store", str(store.parent)),
    ]
    path = f"/predictions/{MODEL}"
    program = _program(command, network, port, path, question, threads=1)
    program.environment.update(LOG_LOCATION=str(folder), METRICS_LOCATION=str(folder))
    return [program]


def _tool(environment: str, name: str) -> str:
    return str(environment_folder(environment) / "bin" / name)


def _program(
    command: list[str], network: Network, port: int, path: str, question: Question, threads: int
) -> Program:
    environment = _environment(network, port, threads)
    return Program("server", command, ROOT, port, path, question, environment)


def _environment(network: Network, port: int, threads: int) -> dict[str, str]:
    search = os.environ.get("PATH", "")
    return {
        **network.environment,
        PORT_VARIABLE: str(port),
        THREADS_VARIABLE: str(threads),
        WORKERS_VARIABLE: str(network.workers),
        BATCH_VARIABLE: str(network.batch),
        "PYTHONPATH": str(ROOT),
        "PATH": search,
    }
