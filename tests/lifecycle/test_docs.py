"""The page's table is what the code says."""

from __future__ import annotations

from common.settings import variable
from lifecycle.launch import LaunchSettings
from lifecycle.step import APPROVABLE
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "lifecycle.md").read_text(encoding="utf-8")


def test_every_setting_is_documented() -> None:
    own = {n: f for n, f in LaunchSettings.model_fields.items() if n.startswith("lifecycle_")}
    for name, field in own.items():
        shown = "" if field.default in ("", None) else f"`{field.default}`"
        assert f"| `{variable(name)}` | {shown} | {field.description} |" in PAGE


def test_every_step_is_documented() -> None:
    for step in APPROVABLE:
        assert f"| `{step.value}` | " in PAGE
