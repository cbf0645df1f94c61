"""The edge's processes on one machine: the check and Envoy."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from edge.envoy import LOCAL_HOST, EdgePorts, local_configuration

ROOT = Path(__file__).parent.parent
READY_SECONDS = 30.0
STOP_SECONDS = 15.0
LISTENING = range(20000, 32000)
"""Below the ports that systems give to outgoing connections: one of those could be gone between
the look and the start of a server."""


class StartError(RuntimeError):
    """Something cannot be started; the message says why, for a person."""


class Processes:
    """Named processes that are started in order and stopped in the other one.

    Args:
        log_folder: where each one's output goes; None: this process's own.
        quiet: names of those whose output goes to the folder ``quiet_folder`` in any case.
    """

    def __init__(
        self,
        log_folder: Path | None = None,
        quiet: tuple[str, ...] = (),
        quiet_folder: Path | None = None,
    ) -> None:
        self._log_folder = log_folder
        self._quiet = quiet
        self._quiet_folder = quiet_folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        """Start one, of its own process group, so that Ctrl-C reaches it through us, in order."""
        with contextlib.ExitStack() as stack:
            log = None
            folder = self._quiet_folder if name in self._quiet else self._log_folder
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                log = stack.enter_context((folder / f"{name}.log").open("ab"))
            self._running[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT if log else None,
                start_new_session=True,
            )

    def wait_for_port(self, name: str, port: int, seconds: float = READY_SECONDS) -> None:
        """Raises StartError if nobody listens in time, or the process ended."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError), socket.create_connection((LOCAL_HOST, port), 1):
                return
            self._require_alive(name, deadline)

    def wait_for_url(self, name: str, url: str, seconds: float = READY_SECONDS) -> None:
        """Raises StartError if it does not answer 200 in time, or the process ended."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
            self._require_alive(name, deadline)

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def kill(self, name: str) -> None:
        """End one at once, as a crash would."""
        self._running[name].kill()
        self._running[name].wait()

    def ended(self) -> str | None:
        """The name of one that has ended by itself, if one has."""
        for name, process in self._running.items():
            if process.poll() is not None:
                return name
        return None

    def stop(self) -> None:
        """Stop all, the last started first."""
        for process in reversed(self._running.values()):
            if process.poll() is not None:
                continue
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _require_alive(self, name: str, deadline: float) -> None:
        code = self._running[name].poll()
        if code is not None:
            raise StartError(f"the {name} ended with status {code}")
        if time.monotonic() > deadline:
            raise StartError(f"the {name} was not ready in time")
        time.sleep(0.05)


class Edge:
    """How the check and Envoy are started, whoever holds their processes.

    Args:
        folder: for Envoy's configuration.
        environment: of the check; names the database.
    """

    def __init__(
        self,
        processes: Processes,
        ports: EdgePorts,
        folder: Path,
        environment: Mapping[str, str],
        host: str = LOCAL_HOST,
    ) -> None:
        self._processes = processes
        self._ports = ports
        self._environment = environment
        self._configuration = folder / "envoy.json"
        folder.mkdir(parents=True, exist_ok=True)
        document = local_configuration(ports, host)
        self._configuration.write_text(json.dumps(document), encoding="utf-8")

    def start(self, name: str) -> None:
        """Start ``check`` or ``envoy`` and wait until it answers; raises StartError."""
        if name == "check":
            address = f"{LOCAL_HOST}:{self._ports.check}"
            command = [sys.executable, "-m", "edge", "--address", address]
            self._processes.start(name, command, self._environment)
            self._processes.wait_for_port(name, self._ports.check)
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


def environment_folder(name: str, folder: Path = ROOT) -> Path:
    """Where ``make`` installs an environment."""
    return Path(os.environ.get("VENVS") or folder / ".venv") / name


def require_free(port: int) -> None:
    """Raises StartError if nothing can listen on the port."""
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCAL_HOST, port))
        except (OSError, OverflowError):
            raise StartError(f"port {port} cannot be had; choose another with PORT=…") from None


def free_edge_ports(models: int, edge: int = 0) -> EdgePorts:
    """Ports that are free now."""
    found: list[int] = []
    for port in random.sample(LISTENING, len(LISTENING)):
        with contextlib.suppress(StartError):
            require_free(port)
            found.append(port)
        if len(found) == 4:
            return EdgePorts(edge or found[0], found[1], found[2], found[3], models)
    raise StartError("no free ports")
