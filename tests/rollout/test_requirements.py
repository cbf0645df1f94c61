"""The rollout's environment is the tests' own, as far as it goes."""

from __future__ import annotations

import re

from tests.conftest import ROOT


def pins(name: str) -> set[str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9._-]+==[^\s;]+)", text, re.MULTILINE))


def test_the_same_versions_are_tested_as_are_installed() -> None:
    assert pins("rollout") <= pins("training")
    assert pins("transformer") <= pins("rollout")
