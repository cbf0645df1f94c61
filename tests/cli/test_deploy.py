"""``vision deploy``: rendered, checked, applied, in this order."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import deploy
from cluster.commands import ClusterError


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    made: list[list[str]] = []

    def record(arguments: list[str]) -> int:
        made.append(arguments)
        return 4 if "deploy-check" in arguments and "--force" not in arguments else 0

    monkeypatch.setattr("rollout.__main__.main", record)
    monkeypatch.setattr("cluster.__main__.main", record)
    monkeypatch.setattr(deploy, "render", lambda overlay: Path(f"build/{overlay.name}.yaml"))
    return made


def test_what_is_refused_is_not_applied(calls: list[list[str]]) -> None:
    assert deploy.main(["--overlay", "production"]) == 4
    (check,) = calls
    assert check[:1] == ["deploy-check"]
    assert check[check.index("--rendered") + 1] == "build/production.yaml"
    assert check[check.index("--overlay") + 1].endswith("manifests/overlays/production")


def test_force_is_handed_to_both(calls: list[list[str]]) -> None:
    assert deploy.main(["--force", "--gateway", "http://x"]) == 0
    check, applied = calls
    assert check[0] == "deploy-check"
    assert applied[:3] == ["deploy", "--overlay", "minikube"]
    assert applied[applied.index("--gateway") + 1] == "http://x"
    assert check[-1] == applied[-1] == "--force"


def test_an_overlay_that_does_not_render(
    calls: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> Path:
        raise ClusterError("overlay 'mini' not found; available: minikube")

    monkeypatch.setattr(deploy, "render", fail)
    assert deploy.main(["--overlay", "mini"]) == 1
    assert capsys.readouterr().err == "deploy: overlay 'mini' not found; available: minikube\n"
    assert calls == []
