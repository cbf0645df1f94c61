"""The edge's processes on one machine: the check and Envoy."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.errors import StartError
from common.ports import LOCAL_HOST, free_row
from common.processes import ROOT, Processes, environment_folder
from edge.certificates import Folders
from edge.envoy import EdgePorts, local_configuration


class Edge:
    """How the check and Envoy are started, whoever holds their processes.

    Args:
        folder: for Envoy's configuration.
        environment: of the check; names the database.
        origins: web origins whose pages may read the models' answers.
        certificates: of the edge's own port of https, if it has one.
    """

    def __init__(
        self,
        processes: Processes,
        ports: EdgePorts,
        folder: Path,
        environment: Mapping[str, str],
        host: str = LOCAL_HOST,
        origins: Sequence[str] = (),
        certificates: Folders | None = None,
    ) -> None:
        self._processes = processes
        self._ports = ports
        self._environment = environment
        self._certificates = certificates
        self._configuration = folder / "envoy.json"
        folder.mkdir(parents=True, exist_ok=True)
        document = local_configuration(
            ports,
            host,
            origins=origins,
            environment={**os.environ, **environment},
            certificates=certificates,
        )
        self._configuration.write_text(json.dumps(document), encoding="utf-8")

    def start(self, name: str) -> None:
        """Start ``check``, ``envoy``, ``shadow`` or, where there are some, ``certificates``, and
        wait until it answers; raises StartError.
        """
        if name == "check":
            address = f"{LOCAL_HOST}:{self._ports.check}"
            command = [sys.executable, "-m", "edge", "--address", address]
            if self._ports.others:
                command += ["--others-address", f"{LOCAL_HOST}:{self._ports.others}"]
            if self._ports.metrics:
                command += ["--metrics-address", f"{LOCAL_HOST}:{self._ports.metrics}"]
            self._processes.start(name, command, self._environment)
            self._processes.wait_for_port(name, self._ports.check)
        elif name == "shadow":
            command = [sys.executable, "-m", "edge.shadow", "--host", LOCAL_HOST]
            command += ["--port", str(self._ports.shadow)]
            self._processes.start(name, command, self._environment)
            self._processes.wait_for_port(name, self._ports.shadow)
        elif name == "certificates":
            folders = self._certificates
            assert folders is not None
            command = [sys.executable, "-m", "edge.certificates", "--own", folders.own]
            command += [str(folders.certificates), str(folders.envoy)]
            self._processes.start(name, command, {})
        else:
            self._processes.start(name, self._envoy(), {})
            url = f"http://{LOCAL_HOST}:{self._ports.admin}/ready"
            self._processes.wait_for_url(name, url)

    def _envoy(self) -> list[str]:
        return [
            str(envoy_program()),
            "--config-path",
            str(self._configuration),
            "--concurrency",
            "1",
            "--log-level",
            "error",
            # Without shared memory, so that several run on one machine.
            "--disable-hot-restart",
        ]


def envoy_program(folder: Path = ROOT) -> Path:
    """Envoy's binary in its environment, as ``make`` lays it out.

    Raises:
        StartError: it is not installed.
    """
    installed = environment_folder("edge", folder)
    for found in sorted(installed.glob("lib/python*/site-packages/envoy/_bin/envoy")):
        if not os.access(found, os.X_OK):
            found.chmod(0o755)
        return found
    raise StartError(f"Envoy is missing: {installed} is not installed")


def free_edge_ports(models: int, edge: int = 0, tls: int = 0) -> EdgePorts:
    """Ports that are free now, beside those that are given."""
    while True:
        first, second, *rest = free_row(9)
        # The predictor takes the port after the transformer's.
        if not {edge, tls, models, models + 1, models + 2}.intersection(rest):
            admin, check, console, metrics, acme, shadow, capture = rest
            return EdgePorts(
                *(edge or first, admin, check, console, models, metrics, tls or second, acme),
                *(shadow, capture),
            )
