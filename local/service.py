"""Both servers as processes of this machine."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from common.errors import StartError
from common.ports import LOCAL_HOST, free_row, require_free
from common.processes import READY_SECONDS, ROOT, Processes, environment_folder
from local.manifest import (
    Component,
    Ports,
    held_revisions,
    local_components,
    manifests,
    with_models,
)

PACKAGES = {
    "predictor": ("kserve", "onnxruntime", "safetensors"),
    "transformer": ("kserve", "aiohttp", "PIL"),
}
"""What tells an environment that a server can run in from another one."""


class LocalService:
    """A predictor and a transformer on the loopback address.

    Args:
        ports: where they listen.
        interpreters: the Python of each component's own environment, by component name.
        models: revisions in place of the manifest's, by model name.
        service: name of the InferenceService.
        components: in place of those of an InferenceService.
        alone: only ``models``, and none of the manifest's others.
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
        alone: bool = False,
        components: tuple[Component, Component] | None = None,
    ) -> None:
        self.ports = ports
        self._interpreters = interpreters
        components = components or local_components(
            ports, model_root.resolve(), models, manifests()[service], alone
        )
        self._components = {component.name: component for component in components}
        self.log_folder = log_folder
        self._processes = Processes(log_folder)

    @property
    def revisions(self) -> dict[str, str]:
        """The revision of each model that the predictor holds."""
        return held_revisions(self._components["predictor"])

    @property
    def url(self) -> str:
        return f"http://{LOCAL_HOST}:{self.ports.http}"

    @property
    def predictor_url(self) -> str:
        return f"http://{LOCAL_HOST}:{self.ports.predictor_http}"

    def __enter__(self) -> LocalService:
        # PORT itself first: the predictor's is the one after it.
        require_free(self.ports.http)
        for name in ("predictor", "transformer"):
            self.check(name)
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

    def check(self, name: str) -> None:
        """See that one component could be started.

        Raises:
            StartError: its port is taken, or its environment is not there.
        """
        if name == "predictor":
            require_free(
                self.ports.predictor_http,
                f"the predictor listens on the one after PORT={self.ports.http}",
            )
        else:
            require_free(self.ports.http)
        interpreter = self._interpreters[name]
        if not interpreter.exists():
            raise StartError(
                f"{interpreter} is missing: the {name}'s environment is not installed; "
                "`make run` installs it"
            )

    def start(self, name: str) -> None:
        """Start one component; raises StartError as ``check`` does."""
        self.check(name)
        command = command_line(self._components[name], self._interpreters[name])
        self._processes.start(name, command, self._components[name].environment)

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until every model of both servers is ready.

        Raises:
            StartError: a server ended or did not get ready in time.
        """
        for name, url in (("predictor", self.predictor_url), ("transformer", self.url)):
            self._processes.wait_for_url(name, f"{url}/v2/health/ready", seconds)

    def pid(self, name: str) -> int:
        return self._processes.pid(name)

    def kill(self, name: str) -> None:
        """End one component at once, as a crash would."""
        self._processes.kill(name)

    def terminate(self, name: str) -> int:
        """Tell one component to stop, as a cluster does, and wait for its exit status.

        Raises:
            subprocess.TimeoutExpired: it did not end in time.
        """
        return self._processes.terminate(name)

    def ended(self) -> str | None:
        """The name of a component that has ended by itself, if one has."""
        return self._processes.ended()

    def wait(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until one has ended by itself; see ``Processes.wait``."""
        self._processes.wait(meanwhile)

    def take(self, models: dict[str, str]) -> None:
        """Start the predictor anew with other revisions of models that it holds.

        What is asked meanwhile is answered by 503.

        Raises:
            StartError: it does not start with them; it runs with those that it held.
        """
        before = self._components["predictor"]
        try:
            self._restart(with_models(before, models))
        except StartError:
            self._restart(before)
            raise

    def _restart(self, component: Component) -> None:
        self._components[component.name] = component
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.terminate(component.name)
        self.kill(component.name)  # what it has left
        self.start(component.name)
        url = f"{self.predictor_url}/v2/health/ready"
        self._processes.wait_for_url(component.name, url)

    def stop(self) -> None:
        """Stop both, the transformer first: its requests in flight still need the predictor."""
        self._processes.stop()


def command_line(component: Component, interpreter: Path) -> list[str]:
    """The manifest's command, with its ``python`` replaced by that of the environment."""
    assert component.command[0] == "python"
    return [str(interpreter), *component.command[1:], *component.arguments]


def free_ports() -> Ports:
    """Two ports that are free now."""
    return Ports(*free_row(2))


def interpreters(folder: Path = ROOT) -> dict[str, Path]:
    """The Python of each server: of its environment, or this one where that has all it needs."""
    return {name: _interpreter(name, folder) for name in PACKAGES}


def _interpreter(name: str, folder: Path) -> Path:
    python = environment_folder(name, folder) / "bin" / "python"
    if not python.exists() and all(find_spec(package) for package in PACKAGES[name]):
        return Path(sys.executable)
    return python
