from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import training.settings
from training.__main__ import parse, settings_from
from training.settings import PRESETS, TrainingSettings, read_preset

NAMES = sorted(path.stem for path in PRESETS.glob("*.yaml"))
FIELDS = {item.name: item for item in fields(TrainingSettings)}


def example(name: str) -> tuple[str, Any]:
    """A value of the field that differs from its default, as text and as read."""
    item = FIELDS[name]
    default = getattr(TrainingSettings(), name)
    if item.metadata["choices"]:
        other = next(choice for choice in item.metadata["choices"] if choice != default)
        return other, other
    examples: dict[str, tuple[str, Any]] = {
        "int": ("3", 3),
        "float": ("0.125", 0.125),
        "str": ("mnist/9", "mnist/9"),
        "list[str]": ("[stem, head]", ["stem", "head"]),
        "dict[str, Any]": ("{stem: 8, widths: [8, 16]}", {"stem": 8, "widths": [8, 16]}),
    }
    return examples[str(item.type)]


def test_the_shipped_models_have_presets() -> None:
    assert {"mnist", "fashion-mnist", "fashion-mnist-frozen"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_loads(name: str) -> None:
    values = read_preset(name)
    settings = TrainingSettings(**values)
    for key, value in values.items():
        item, default = FIELDS[key], getattr(TrainingSettings(), key)
        allowed = (int, float) if isinstance(default, float) else (type(default),)
        assert isinstance(value, allowed), key
        assert not item.metadata["choices"] or value in item.metadata["choices"], key
    assert settings.as_json() == {**TrainingSettings().as_json(), **values}


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_names_others_that_exist(name: str) -> None:
    settings = TrainingSettings(**read_preset(name))
    assert {settings.start, settings.teacher} - {""} <= set(NAMES)


def test_an_unknown_preset_tells_which_there_are() -> None:
    with pytest.raises(ValueError, match=r"no preset 'nope'; there are: .*mnist"):
        read_preset("nope")


def test_an_unknown_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.settings, "PRESETS", tmp_path)
    (tmp_path / "odd.yaml").write_text("epochs: 3\nlearning_rate: 1\nmodels: x\n")
    with pytest.raises(ValueError, match=r"odd.yaml: no such setting: learning_rate, models"):
        read_preset("odd")


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_is_documented_and_an_option(name: str) -> None:
    assert FIELDS[name].metadata["help"]
    text, value = example(name)
    assert value != getattr(TrainingSettings(), name)
    options = parse(["--preset", "mnist", "--" + name.replace("_", "-"), text])
    settings = settings_from(options)
    assert getattr(settings, name) == value
    expected = {**TrainingSettings(**read_preset("mnist")).as_json(), name: value}
    assert settings.as_json() == expected


@pytest.mark.parametrize(
    "name", [name for name, item in FIELDS.items() if item.metadata["choices"]]
)
def test_another_than_the_choices_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([f"--{name}", "something-else"])
    assert "invalid choice" in capsys.readouterr().err


def test_a_number_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--epochs", "many"])
    assert "--epochs" in capsys.readouterr().err


def test_the_options_of_the_service_this_replaces_are_there() -> None:
    assert {
        "batch_size",
        "test_batch_size",
        "workers",
        "epochs",
        "lr",
        "gamma",
        "optimiser",
        "loss",
    } <= set(FIELDS)
    assert set(FIELDS["loss"].metadata["choices"]) == {"nll", "cross-entropy"}


def test_defaults_are_not_shared() -> None:
    TrainingSettings().trainable.append("head")
    TrainingSettings().arguments["x"] = 1
    assert TrainingSettings().trainable == []
    assert TrainingSettings().arguments == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimiser", "sgdd"),
        ("loss", "nnl"),
        ("lr", "1e-3"),
        ("trainable", "head"),
        ("epochs", -1),
        ("batch_size", 0),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        TrainingSettings(**{name: value})  # type: ignore[arg-type]
