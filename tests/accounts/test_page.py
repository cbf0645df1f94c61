"""The page's table is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from accounts.__main__ import main
from accounts.settings import (
    AccountsSettings,
    CommandSettings,
    DatabaseSettings,
    EdgeSettings,
)
from common.settings import variable
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "accounts.md"


FIELDS = {
    **DatabaseSettings.model_fields,
    **EdgeSettings.model_fields,
    **CommandSettings.model_fields,
    **AccountsSettings.model_fields,
}


def settings_table() -> str:
    rows = []
    for name, field in FIELDS.items():
        default = field.default
        if isinstance(default, SecretStr):
            default = default.get_secret_value()
        if isinstance(default, Path):
            default = default.name
        shown = "" if default in ("", None) else f"`{default}`"
        rows.append(f"| `{variable(name)}` | {shown} | {field.description} |")
    return "\n".join(rows)


def test_every_setting_is_documented() -> None:
    assert settings_table() in PAGE.read_text(encoding="utf-8")


def test_every_command_is_documented(capsys) -> None:
    text = PAGE.read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = capsys.readouterr().out.split("{")[1].split("}")[0].split(",")
    for command in commands:
        assert f"python -m accounts {command}" in text, command


def test_every_attack_on_the_list_has_its_test() -> None:
    """`folder/file.py` under tests, and `::test` where one is named."""
    text = (ROOT / "docs" / "security-model.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:accounts|console|edge|manifests)/test_\w+\.py)(?:::(\w+))?`", text)
    assert len(named) > 25
    for file, test in named:
        code = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert not test or f"def {test}(" in code, (file, test)
