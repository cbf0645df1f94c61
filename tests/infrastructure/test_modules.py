"""The modules are formatted, fit each other, and give what the interface says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from accounts.captures import MAX_DAYS
from tests.conftest import ROOT
from tests.manifests.rendering import MANIFESTS
from tests.needs import missing

INFRASTRUCTURE = ROOT / "infrastructure"
INTERFACE = INFRASTRUCTURE / "interface"
PROVIDERS = ("aws",)
KEEPERS = {"vision/console", "vision/default"}


def tofu(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("tofu") or shutil.which("terraform")
    if program is None:
        missing("tofu", "neither tofu nor terraform is installed")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def blocks(path: Path, kind: str) -> dict[str, str]:
    """Text by name of the blocks of a formatted file, one line or many."""
    text = path.read_text()
    found = re.findall(rf'^{kind} "([^"]+)" (\{{.*\}}$|\{{\n(?:.*\n)*?\}}$)', text, re.MULTILINE)
    return dict(found)


def test_they_are_formatted() -> None:
    done = tofu("fmt", "-check", "-recursive", str(INFRASTRUCTURE))
    assert done.returncode == 0, done.stdout


def test_the_interface_is_valid_by_itself(tmp_path: Path) -> None:
    shutil.copytree(INTERFACE, tmp_path / "interface")
    for verb in (("init", "-backend=false"), ("validate",)):
        done = tofu(f"-chdir={tmp_path / 'interface'}", *verb)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_takes_and_gives_what_the_interface_says(provider: str) -> None:
    folder = INFRASTRUCTURE / provider
    expected = blocks(INTERFACE / "variables.tf", "variable")
    assert len(expected) > 5
    assert blocks(folder / "variables.tf", "variable") == expected
    given, wanted = (blocks(f / "outputs.tf", "output") for f in (folder, INTERFACE))
    assert list(given) == list(wanted)
    for name, text in wanted.items():
        said = re.search(r"description = (.*)", text)
        assert said and said[0] in given[name], name


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_module_is_given_what_it_takes(provider: str) -> None:
    folder = INFRASTRUCTURE / provider
    outputs: dict[str, set[str]] = {}
    text = (folder / "main.tf").read_text()
    for name, block in blocks(folder / "main.tf", "module").items():
        (source,) = re.findall(r'^  source +?= "(.+)"$', block, re.MULTILINE)
        if not source.startswith("."):
            continue  # another's, by version: the public workflow validates it
        module = (folder / source).resolve() / "main.tf"
        given = set(re.findall(r"^  (\w+) += ", block, re.MULTILINE)) - {"source"}
        assert given == set(blocks(module, "variable")), name
        outputs[name] = set(blocks(module, "output"))
        for variable in given:
            assert f"var.{variable}" in module.read_text(), f"{name} makes nothing of {variable}"
    used = re.findall(r"module\.(\w+)\.(\w+)", text + (folder / "outputs.tf").read_text())
    for name, output in used:
        assert name not in outputs or output in outputs[name], f"module.{name}.{output}"
    assert {name for name, _ in used} >= set(outputs)


def test_what_customers_let_us_keep_is_not_locked_and_goes_when_its_days_are_over() -> None:
    text = (INFRASTRUCTURE / "modules" / "aws" / "buckets" / "main.tf").read_text()
    (locked,) = re.findall(r"^  locked = toset\((\[.*\])\)", text, re.MULTILINE)
    assert json.loads(locked) == ["registry", "backups", "mirror"]
    (days,) = re.findall(r"^  captured_days = (\d+)", text, re.MULTILINE)
    assert int(days) == MAX_DAYS + 1
    rights = (INFRASTRUCTURE / "modules" / "aws" / "identities" / "main.tf").read_text()
    found = re.findall(r'^    "(.+?)" += \{(.*)\}$', rights, re.MULTILINE)
    # Who deletes anything: the console, and the accounts' jobs.
    assert {name for name, said in found if "local.keep" in said} == KEEPERS
    assert all(re.findall(r"(\w+) = local\.keep", said) in ([], ["captures"]) for _, said in found)


def test_identities_are_of_service_accounts_that_there_are() -> None:
    text = (INFRASTRUCTURE / "modules" / "aws" / "identities" / "main.tf").read_text()
    accounts = re.findall(r'^    "vision/([a-z-]+)" +=', text, re.MULTILINE)
    manifests = "\n".join(path.read_text() for path in MANIFESTS.rglob("*.yaml"))
    known = re.findall(r"kind: ServiceAccount\nmetadata:\n  name: ([a-z-]+)", manifests)
    assert "vision" in accounts
    assert set(accounts) <= {"default", *known}
