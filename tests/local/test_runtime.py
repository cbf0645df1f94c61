from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from artifact import RevisionNotFoundError
from local import __main__ as entry
from local.manifest import Ports
from local.runtime import LocalRuntime, runtime_components

PORTS = Ports(9000, 9001)


def test_the_folder_stands_for_what_kserve_mounts(tmp_path: Path) -> None:
    predictor, transformer = runtime_components(PORTS, tmp_path, "flowers")
    assert [predictor.name, transformer.name] == ["predictor", "transformer"]
    for component in (predictor, transformer):
        assert f"--model={tmp_path}" in component.arguments
        assert "--model_name=flowers" in component.arguments
        assert component.environment["VISION_HOST"] == "127.0.0.1"
        assert not [a for a in component.arguments if "{{" in a or "/mnt" in a]
    assert "--http_port=9001" in predictor.arguments
    assert "--predictor_host=127.0.0.1:9001" in transformer.arguments
    assert "--http_port=9000" in transformer.arguments


def test_one_revision_has_the_name_that_is_said(small_root: Path) -> None:
    folder = small_root / "mnist" / "2"
    assert LocalRuntime(PORTS, {}, folder, "flowers").revisions == {"flowers": "2"}
    assert LocalRuntime(PORTS, {}, folder).revisions == {"mnist": "2"}


def test_a_tree_has_its_models_names(small_root: Path) -> None:
    found = LocalRuntime(PORTS, {}, small_root, "flowers")
    assert found.revisions == {"fashion-mnist": "2", "mnist": "2"}
    assert found.contracts["mnist"].task == "classification"


def options(*names: str, **changes: object) -> argparse.Namespace:
    known = {"names": list(names), "model": [], "port": 9000, "name": "", "service": ""}
    return argparse.Namespace(**{**known, **changes})


def test_a_folder_is_served_alone(small_root: Path, tmp_path: Path) -> None:
    folder = str(small_root / "mnist" / "1")
    service = entry.prepare(options(folder, name="digits"))
    assert isinstance(service, LocalRuntime)
    assert service.revisions == {"digits": "1"}
    for wrong in (options(folder, "mnist"), options(folder, model=["mnist=1"])):
        with pytest.raises(ValueError, match="a folder is served alone"):
            entry.prepare(wrong)
    with pytest.raises(RevisionNotFoundError, match="holds neither a revision"):
        entry.prepare(options(f"{tmp_path}/"))
