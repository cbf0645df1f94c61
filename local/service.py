"""Both servers as processes of this machine."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import random
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from local.manifest import LOCAL_HOST, Component, Ports, local_components, manifests

ROOT = Path(__file__).parent.parent
READY_SECONDS = 60.0
STOP_SECONDS = 10.0
LISTENING = range(20000, 32000)
"""Below the ports that systems give to outgoing connections (from 32768 on Linux): one of those
could be gone between the look and the start of a server."""


class StartError(RuntimeError):
    """The service cannot be started; the message says why, for a person."""


class LocalService:
    """A predictor and a transformer on the loopback address.

    Args:
        ports: where they listen.
        interpreters: the Python of each component's own environment, by component name.
        models: revisions in place of the manifest's, by model name.
        service: name of the InferenceService.
        log_folder: where each server's output goes; None for this process's own.
    """

    def __init__(
        self,
        ports: Ports,
        interpreters: dict[str, Path],
        model_root: Path = ROOT / "models",
        models: dict[str, str] | None = None,
        log_folder: Path | None = None,
        service: str = "vision",
    ) -> None:
        self.ports = ports
        self._interpreters = interpreters
        self._log_folder = log_folder
        self._components = {
            c.name: c
            for c in local_components(ports, model_root.resolve(), models, manifests()[service])
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://{LOCAL_HOST}:{self.ports.http}"

    @property
    def predictor_url(self) -> str:
        return f"http://{LOCAL_HOST}:{self.ports.predictor_http}"

    def __enter__(self) -> LocalService:
        try:
            self.start("predictor")
            self.start("transformer")
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, name: str) -> None:
        """Start one component.

        Raises:
            StartError: a port is taken, or its environment is not there.
        """
        require_free(self.ports.http if name == "transformer" else self.ports.predictor_http)
        component = self._components[name]
        interpreter = self._interpreters[name]
        if not interpreter.exists():
            raise StartError(f"{interpreter} is missing: the {name}'s environment is not installed")
        with self._log(name) as log:
            self._processes[name] = subprocess.Popen(
                command_line(component, interpreter),
                cwd=ROOT,
                env={**os.environ, **component.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT if log else None,
                # Of its own group, so that Ctrl-C reaches it through us, in order.
                start_new_session=True,
            )

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until every model of both servers is ready.

        Raises:
            StartError: a server ended or did not get ready in time.
        """
        deadline = time.monotonic() + seconds
        for name, url in (("predictor", self.predictor_url), ("transformer", self.url)):
            while not answers(f"{url}/v2/health/ready"):
                code = self._processes[name].poll()
                if code is not None:
                    raise StartError(f"the {name} ended with status {code}{self._tail(name)}")
                if time.monotonic() > deadline:
                    raise StartError(
                        f"the {name} was not ready within {seconds:.0f} s{self._tail(name)}"
                    )
                time.sleep(0.05)

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def kill(self, name: str) -> None:
        """End one component at once, as a crash would."""
        self._processes[name].kill()
        self._processes[name].wait()

    def terminate(self, name: str) -> int:
        """Tell one component to stop, as a cluster does, and wait for its exit status.

        Raises:
            subprocess.TimeoutExpired: it did not end within ``STOP_SECONDS``.
        """
        self._processes[name].terminate()
        return self._processes[name].wait(STOP_SECONDS)

    def ended(self) -> str | None:
        """The name of a component that has ended by itself, if one has."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                return name
        return None

    def stop(self) -> None:
        """Stop both, the transformer first: its requests in flight still need the predictor."""
        for name in ("transformer", "predictor"):
            process = self._processes.get(name)
            if process is None or process.poll() is not None:
                continue
            try:
                self.terminate(name)
            except subprocess.TimeoutExpired:
                self.kill(name)

    def _log(self, name: str) -> contextlib.AbstractContextManager[BinaryIO | None]:
        if self._log_folder is None:
            return contextlib.nullcontext()
        self._log_folder.mkdir(parents=True, exist_ok=True)
        return (self._log_folder / f"{name}.log").open("ab")

    def _tail(self, name: str) -> str:
        if self._log_folder is None:
            return ""
        lines = (self._log_folder / f"{name}.log").read_text(errors="replace").splitlines()
        return ":\n  " + "\n  ".join(lines[-3:]) if lines else ""


def command_line(component: Component, interpreter: Path) -> list[str]:
    """The manifest's command, with its ``python`` replaced by that of the environment."""
    assert component.command[0] == "python"
    return [str(interpreter), *component.command[1:], *component.arguments]


def require_free(port: int) -> None:
    """Raises StartError if nothing can listen on the port."""
    if not 0 < port < 65536:
        raise StartError(f"{port} is no port; PORT and the one after it must be below 65536")
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCAL_HOST, port))
        except OSError as error:
            reason = "taken" if error.errno == errno.EADDRINUSE else f"refused: {error.strerror}"
            raise StartError(
                f"port {port} is {reason}; choose another with PORT=… "
                "(the predictor takes the port after it)"
            ) from None


def free_ports() -> Ports:
    """Two ports that are free now."""
    return Ports(*free_row(2))


def free_row(count: int) -> range:
    """That many ports in a row that are free now."""
    while True:
        first = random.choice(LISTENING[:-count])  # noqa: S311
        row = range(first, first + count)
        try:
            for port in row:
                require_free(port)
        except StartError:
            continue
        return row


def interpreters(folder: Path = ROOT) -> dict[str, Path]:
    """The Python of each server's environment."""
    return {
        name: environment_folder(name, folder) / "bin" / "python"
        for name in ("predictor", "transformer")
    }


def environment_folder(name: str, folder: Path = ROOT) -> Path:
    """Where ``make`` installs an environment."""
    return Path(os.environ.get("VENVS") or folder / ".venv") / name


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (OSError, http.client.HTTPException):
        return False
