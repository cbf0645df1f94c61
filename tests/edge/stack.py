"""The whole path on real sockets: Envoy, the check, and models, real ones or a stub."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from sqlalchemy.orm import Session

from accounts.database import open_database
from accounts.keys import KeyRequest, ShownKey, make_key
from accounts.migration import migrate
from common.errors import StartError
from common.ports import free_row
from common.processes import Processes
from edge.certificates import Folders
from edge.envoy import EdgePorts
from edge.processes import Edge, envoy_program, free_edge_ports
from local.service import LocalService, free_ports, interpreters
from tests.accounts.conftest import add_account
from tests.conftest import SHIPPED
from tests.needs import missing

people = itertools.count()


class Stack:
    """What runs, by name; each can be killed and started again.

    Attributes:
        others: how to kill and to start what is neither the check nor Envoy.
    """

    def __init__(
        self,
        folder: Path,
        database_url: str,
        processes: Processes,
        ports: EdgePorts,
        origins: Sequence[str] = (),
        certificates: Folders | None = None,
    ) -> None:
        self.database_url = database_url
        self.ports = ports
        self.folder = folder
        self.others: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {}
        self._processes = processes
        environment = {"VISION_DATABASE_URL": database_url, "VISION_DEVELOPMENT": "true"}
        self._edge = Edge(
            processes, ports, folder, environment, origins=origins, certificates=certificates
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports.edge}"

    def pid(self, name: str) -> int:
        return self._processes.pid(name)

    def kill(self, name: str) -> None:
        if name in self.others:
            self.others[name][0]()
        else:
            self._processes.kill(name)

    def start(self, name: str) -> None:
        if name in self.others:
            self.others[name][1]()
        else:
            self._edge.start(name)

    def key(self, **wishes: object) -> ShownKey:
        """A new key of a new account."""
        with self.session() as session:
            account = add_account(session, f"p{next(people)}@example.org")
            asked = KeyRequest(**{"name": "k", "rate_per_second": 1000, **wishes})  # type: ignore[arg-type]
            shown = make_key(session, account.id, asked)
            session.commit()
        return shown

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        engine = open_database(self.database_url)
        with Session(engine) as session:
            yield session
        engine.dispose()


@contextlib.contextmanager
def with_models(folder: Path, database_url: str) -> Iterator[Stack]:
    """The edge in front of transformer and predictor; ``folder/logs`` has every answer's line."""
    logged = {"VISION_ACCESS_LOG": "true"}
    with (
        patch.dict(os.environ, logged),
        LocalService(free_ports(), interpreters(), SHIPPED, None, folder / "logs") as models,
        _edge(folder, database_url, models.ports.http) as stack,
    ):

        def start(name: str) -> None:
            models.start(name)
            models.wait_ready()

        for name in ("transformer", "predictor"):
            stack.others[name] = (
                lambda name=name: models.kill(name),  # type: ignore[misc]
                lambda name=name: start(name),  # type: ignore[misc]
            )
        yield stack


@contextlib.contextmanager
def with_stub(
    folder: Path,
    database_url: str,
    origins: Sequence[str] = (),
    certificates: Folders | None = None,
) -> Iterator[Stack]:
    """The edge in front of a stub; ``folder/logs/model.log`` has a line for what reached it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Processes(folder / "logs") as processes:

        def start() -> None:
            processes.start("model", [sys.executable, "-m", "tests.edge.stub", str(port)], {})
            processes.wait_for_port("model", port)

        start()
        with _edge(folder, database_url, port, origins, certificates) as stack:
            stack.others["model"] = (lambda: processes.kill("model"), start)
            yield stack


@contextlib.contextmanager
def with_replicas(folder: Path, database_url: str, count: int) -> Iterator[list[Stack]]:
    """So many Envoys, each with a check of its own that is the others' too, before one stub."""
    with with_stub(folder, database_url) as first, contextlib.ExitStack() as ends:
        ports = [first.ports, *(free_edge_ports(first.ports.models) for _ in range(count - 1))]
        shared = free_row(count)
        stacks = []
        for number, own in enumerate(ports):
            others = tuple(port for port in shared if port != shared[number])
            known = replace(own, others=shared[number], other_checks=others)
            place = folder / f"replica-{number}"
            processes = ends.enter_context(Processes(place / "logs"))
            stacks.append(Stack(place, database_url, processes, known))
        first.kill("envoy")
        first.kill("check")
        for name in ("check", "envoy"):
            for stack in stacks:
                stack.start(name)
        yield stacks


@contextlib.contextmanager
def _edge(
    folder: Path,
    database_url: str,
    models_port: int,
    origins: Sequence[str] = (),
    certificates: Folders | None = None,
) -> Iterator[Stack]:
    try:
        envoy_program()
    except StartError as error:
        missing("envoy", str(error))
    migrate(database_url)
    with Processes(folder / "logs") as processes:
        ports = free_edge_ports(models_port)
        stack = Stack(folder, database_url, processes, ports, origins, certificates)
        stack.start("check")
        stack.start("envoy")
        if certificates is not None:
            stack.start("certificates")
        yield stack


class Client:
    """One connection that is made anew after a failure."""

    def __init__(self, port: int, key: str, timeout: float = 10.0) -> None:
        self._port = port
        self._key = key
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None

    def predict(self, body: bytes, request_id: str | None = None, model: str = "mnist") -> int:
        """The status, 0 where no whole answer was seen."""
        headers = {"authorization": f"Bearer {self._key}", "content-type": "image/png"}
        if request_id is not None:
            headers["x-request-id"] = request_id
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(
                    "127.0.0.1", self._port, timeout=self._timeout
                )
            self._connection.request("POST", f"/v1/models/{model}:predict", body, headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return 0
        if answer.status == 200:
            assert json.loads(text)["predictions"]
        return answer.status

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
