"""The file of objectives, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitoring.objectives import ObjectivesError, read_objectives

WHOLE = """
minimum_errors: 10
default: {availability: 99.5, latency: {percent: 95, seconds: 0.25}}
models: {own: {availability: 90, latency: {percent: 50, seconds: 5}}}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "objectives.yaml"
    path.write_text(text)
    return path


def test_the_file_that_comes_with_the_project_is_valid() -> None:
    objectives = read_objectives()
    assert objectives.default.availability > objectives.models["land-cover"].availability


def test_a_model_may_have_its_own(tmp_path: Path) -> None:
    objectives = read_objectives(written(tmp_path, WHOLE))
    assert objectives.models["own"].latency.seconds == 5


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("99.5", "100", "default.availability"),  # no budget at all
        ("99.5", "0", "default.availability"),
        ("0.25", "0.3", "counted at these bounds alone: 0.0002"),
        ("minimum_errors: 10", "minimum_errors: 0", "minimum_errors"),
        ("models:", "model:", "model"),
        ("seconds: 5}", "seconds: 5}, customers: {vip: {}}", "models.own.customers.vip"),
        ("{percent: 50, seconds: 5}", "5", "models.own.latency"),
        ("{", "[", "objectives.yaml"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(ObjectivesError, match=r"objectives\.yaml") as found:
        read_objectives(written(tmp_path, WHOLE.replace(old, new, 1)))
    assert told in str(found.value)


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    text = WHOLE.replace("99.5", "100").replace("minimum_errors: 10", "minimum_errors: 0")
    with pytest.raises(ObjectivesError) as found:
        read_objectives(written(tmp_path, text))
    assert "default.availability" in str(found.value)
    assert "minimum_errors" in str(found.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ObjectivesError, match=r"nowhere\.yaml"):
        read_objectives(tmp_path / "nowhere.yaml")
