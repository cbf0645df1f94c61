from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from local.manifest import (
    LOCAL_HOST,
    MANIFEST,
    OVERRIDDEN_ARGUMENTS,
    OVERRIDDEN_ENVIRONMENT,
    Component,
    Ports,
    local_components,
    manifests,
    model_names,
    read_component,
    service_of,
    with_models,
)

PORTS = Ports(18080, 18081)
ROOT = Path("/some/models")


def options(component: Component) -> dict[str, str]:
    """Arguments that are given once, by name."""
    pairs = [a.removeprefix("--").split("=", 1) for a in component.arguments]
    return {name: value for name, value in pairs if name != "model"}


def models(component: Component) -> list[str]:
    return [a for a in component.arguments if a.startswith("--model=")]


def differing(base: dict[str, str], local: dict[str, str]) -> set[str]:
    return {name for name in base.keys() | local.keys() if base.get(name) != local.get(name)}


def test_exactly_these_differ_from_the_base_manifest() -> None:
    predictor, transformer = local_components(PORTS, ROOT)
    arguments: set[str] = set()
    environment: set[str] = set()
    for local, changed in (
        (predictor, {"http_port"}),
        (transformer, {"http_port", "predictor_host"}),
    ):
        base = read_component(local.name)
        assert differing(options(base), options(local)) == changed
        assert differing(base.environment, local.environment) == {
            "VISION_HOST",
            "VISION_MODEL_ROOT",
        }
        assert models(local) == models(base)
        assert local.command == base.command
        arguments |= changed
        environment |= differing(base.environment, local.environment)
    assert arguments == {"http_port", "predictor_host"} == set(OVERRIDDEN_ARGUMENTS)
    assert environment == {"VISION_HOST", "VISION_MODEL_ROOT"} == set(OVERRIDDEN_ENVIRONMENT)


def test_the_local_values() -> None:
    predictor, transformer = local_components(PORTS, ROOT)
    assert options(predictor)["http_port"] == "18081"
    assert {k: options(transformer)[k] for k in ("http_port", "predictor_host")} == {
        "http_port": "18080",
        "predictor_host": "127.0.0.1:18081",
    }
    for component in (predictor, transformer):
        assert component.environment["VISION_HOST"] == LOCAL_HOST == "127.0.0.1"
        assert component.environment["VISION_MODEL_ROOT"] == "/some/models"
        assert len(component.arguments) == len(set(component.arguments))


def test_the_manifest_is_what_is_read(tmp_path: Path) -> None:
    document = yaml.safe_load(MANIFEST.read_text())
    for name in ("predictor", "transformer"):
        (container,) = document["spec"][name]["containers"]
        component = read_component(name)
        assert component.name == name
        assert component.command == container["command"] == ["python", "-m", name]
        assert component.arguments == container["args"]
        assert component.environment == {e["name"]: e["value"] for e in container["env"]}
    document["spec"]["predictor"]["containers"][0]["args"].append("--workers=9")
    del document["spec"]["transformer"]["containers"][0]["env"]
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(document))
    assert "--workers=9" in read_component("predictor", path).arguments
    assert read_component("transformer", path).environment == {}


def test_both_servers_hold_the_same_models() -> None:
    held = [a.removeprefix("--model=").split("=")[0] for a in models(read_component("predictor"))]
    assert held == model_names() == ["fashion-mnist", "mnist"]


def test_other_revisions_are_held_on_request() -> None:
    base = read_component("predictor")
    changed = with_models(base, {"fashion-mnist": "/mnt/models/x=y"})
    assert models(changed) == ["--model=fashion-mnist=/mnt/models/x=y", "--model=mnist=2"]
    assert options(changed) == options(base)
    assert with_models(base, {}) == base
    predictor, transformer = local_components(PORTS, ROOT, {"mnist": "1"})
    assert models(predictor) == ["--model=fashion-mnist=3", "--model=mnist=1"]
    assert models(transformer) == models(read_component("transformer"))


def test_nothing_else_can_be_overridden() -> None:
    base = read_component("predictor")
    with pytest.raises(AssertionError):
        base.with_overrides({"workers": "2"}, {})
    with pytest.raises(AssertionError):
        base.with_overrides({}, {"VISION_LOG_LEVEL": "DEBUG"})


def test_the_base_itself_is_left_alone() -> None:
    base = read_component("predictor")
    before = (list(base.arguments), dict(base.environment))
    base.with_overrides({"http_port": "1"}, {"VISION_HOST": "x"})
    with_models(base, {"mnist": "2"})
    assert (base.arguments, base.environment) == before


def test_a_model_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "flowers").mkdir()
    with pytest.raises(ValueError, match="model 'nosuch' not found; available: fashion-mnist, f"):
        local_components(PORTS, tmp_path, {"nosuch": "3"})


def test_a_folder_of_ones_own_is_held_by_both_servers(tmp_path: Path) -> None:
    (tmp_path / "flowers").mkdir()
    predictor, transformer = local_components(PORTS, tmp_path, {"flowers": "3", "mnist": "2"})
    assert models(predictor)[0] == "--model=flowers=3"
    assert "--model=mnist=2" in models(predictor)
    assert models(transformer) == ["--model=flowers", "--model=fashion-mnist", "--model=mnist"]


def test_the_manifests_are_found_by_name() -> None:
    assert sorted(manifests()) == ["land-cover", "vision"]
    assert manifests()["vision"] == MANIFEST
    assert service_of("land-cover") == "land-cover"
    assert service_of("mnist") == "vision"
    assert service_of("nosuch") is None
