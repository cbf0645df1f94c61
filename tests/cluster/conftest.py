"""Tools that are not there: they record how they are called and answer what a test says."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from cluster.overlay import NAMESPACE
from common.kubernetes import Cluster
from tests.cluster.api import FakeApi, api_server

SCRIPT = """#!{python} -SE
import json, re, sys
name, folder = {name!r}, {folder!r}
line = " ".join(sys.argv[1:])
given = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
with open(folder + "/calls", "a") as calls:
    calls.write(json.dumps([name + " " + line, given]) + "\\n")
for pattern, answer, status in json.load(open(folder + "/" + name + ".json")):
    if re.search(pattern, line):
        print(answer)
        sys.exit(status)
"""


@dataclass
class Tools:
    """Executables on a PATH of their own."""

    folder: Path
    answers: dict[str, list[tuple[str, str, int]]] = field(default_factory=dict)

    def add(self, name: str, *answers: tuple[str, str] | tuple[str, str, int]) -> None:
        """An executable that answers the first pattern that its arguments match, or nothing.

        Later calls for the same name come first.
        """
        new = [(a[0], a[1], a[2] if len(a) > 2 else 0) for a in answers]
        self.answers[name] = [*new, *self.answers.get(name, [])]
        (self.folder / f"{name}.json").write_text(json.dumps(self.answers[name]))
        path = self.folder / name
        path.write_text(SCRIPT.format(python=sys.executable, name=name, folder=str(self.folder)))
        path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return [call for call, _ in self._recorded()]

    def given(self, pattern: str) -> str:
        """Standard input of the one call that matches."""
        (found,) = (text for call, text in self._recorded() if re.search(pattern, call))
        return found

    def _recorded(self) -> list[tuple[str, str]]:
        path = self.folder / "calls"
        if not path.exists():
            return []
        return [(call, given) for call, given in map(json.loads, path.read_text().splitlines())]

    def forget(self) -> None:
        (self.folder / "calls").unlink(missing_ok=True)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """The API server that KUBECONFIG points to."""
    found = FakeApi()
    with api_server(found) as url:
        path = tmp_path / "kubeconfig"
        names = {"cluster": "fake", "user": "nobody"}
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "somewhere",
                    "clusters": [{"name": "fake", "cluster": {"server": url}}],
                    "users": [{"name": "nobody", "user": {}}],
                    "contexts": [{"name": "somewhere", "context": names}],
                }
            )
        )
        monkeypatch.setenv("KUBECONFIG", str(path))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
        yield found


@pytest.fixture
def cluster(api: FakeApi) -> Iterator[Cluster]:
    with Cluster.connect(NAMESPACE) as found:
        yield found


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return Tools(folder)
