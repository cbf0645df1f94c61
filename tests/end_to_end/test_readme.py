"""The README's commands are run, and its tables are what the code says."""

from __future__ import annotations

import json
import math
import re
import subprocess
from dataclasses import dataclass

import pytest
from pydantic_core import PydanticUndefined

from common.settings import variable
from local.service import LocalService
from predictor.settings import PredictorSettings
from serving.settings import ServerSettings
from tests.conftest import ROOT
from tests.end_to_end.conftest import people
from transformer.settings import TransformerSettings

README = (ROOT / "README.md").read_text(encoding="utf-8")
SETTINGS = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Example:
    command: str
    output: str


def examples() -> list[Example]:
    """The ``console`` blocks whose commands have a prompt and an output."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        if not block.startswith("$ "):
            continue
        lines = block[2:].splitlines()
        end = next(i for i, line in enumerate(lines) if not line.endswith(("|", "\\")))
        found.append(Example("\n".join(lines[: end + 1]), "\n".join(lines[end + 1 :])))
    return found


def commands_without_output() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    lines = [line for b in blocks if not b.startswith("$ ") for line in b.splitlines()]
    return [line for line in lines if not line.startswith("git clone ")]


def same(found: object, expected: object) -> bool:
    """Equal but for the last digits of probabilities."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            same(value, expected[name]) for name, value in found.items()
        )
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(found, float) and isinstance(expected, float):
        return math.isclose(found, expected, abs_tol=1e-4)
    return found == expected


def pieces(text: str) -> list[object]:
    """Its words, with percentages as shares."""
    return [
        float(word[:-1]) / 100 if re.fullmatch(r"[\d.]+%", word) else word for word in text.split()
    ]


def test_there_are_examples_for_both_models() -> None:
    text = "".join(example.command for example in examples())
    assert "models/mnist:predict" in text
    assert "models/fashion-mnist:predict" in text
    assert "make predict" in text


@pytest.mark.parametrize("example", examples(), ids=lambda e: e.command[:24])
def test_example_prints_what_the_readme_shows(service: LocalService, example: Example) -> None:
    command = example.command.replace("localhost:8080", f"localhost:{service.ports.http}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=ROOT,
        env={**people(), "PORT": str(service.ports.http)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    try:
        expected = json.loads(example.output)
    except ValueError:
        assert same(pieces(done.stdout), pieces(example.output)), done.stdout
    else:
        assert same(json.loads(done.stdout), expected), done.stdout


def test_other_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = commands_without_output()
    assert {"make run", "make test"} <= set(commands)
    for command in commands:
        target = command.split()[1]
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), command


def settings_table() -> str:
    """The table's rows, from the settings classes themselves."""
    kinds: list[tuple[type[ServerSettings], str]] = [
        (ServerSettings, "both"),
        (TransformerSettings, "transformer"),
        (PredictorSettings, "predictor"),
    ]
    rows = []
    for kind, owner in kinds:
        for name, field in kind.model_fields.items():
            if kind is not ServerSettings and name in ServerSettings.model_fields:
                continue
            assert field.default is not PydanticUndefined
            rows.append(
                f"| `{variable(name)}` | `{field.default}` | {owner} | {field.description} |"
            )
    return "\n".join(rows)


def test_every_setting_is_documented() -> None:
    assert settings_table() in SETTINGS
