"""Dependencies are used by their public names: an upgrade may change the others without a word.

What is found: imports and attributes with a leading underscore of a package that is not ours, and
private names of a class of such a package that one of ours derives from, used or replaced.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

OURS = {path.parent.name for path in ROOT.glob("*/__init__.py")}
PEERS = ROOT / "benchmarks" / "peers"
"""What peers' users write; their packages are not installed here."""

FILES = sorted(
    path
    for name in OURS - {"tests"}
    for path in (ROOT / name).rglob("*.py")
    if not path.is_relative_to(PEERS)
)

DOCUMENTED = {"_asdict", "_fields", "_make", "_replace", "_mapping"}
"""Public in spite of the underscore, which keeps them from colliding with fields: of named tuples,
and of SQLAlchemy's rows."""

KEPT: dict[str, set[str]] = {}
"""By file, what is used in spite of that: each with the figure that it is worth, and a switch."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED


def is_third_party(module: str) -> bool:
    package = module.partition(".")[0]
    return package not in OURS and package not in sys.stdlib_module_names


def third_party_names(tree: ast.Module) -> dict[str, str]:
    """What each name of a module stands for, where another package gives it."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if is_third_party(alias.name):
                    shown = alias.name if alias.asname else alias.name.partition(".")[0]
                    names[alias.asname or shown] = shown
        elif isinstance(node, ast.ImportFrom) and node.module and is_third_party(node.module):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def private_names(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    names = third_party_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
                path = f"{module}.{alias.name}".strip(".")
                if is_third_party(path) and any(map(is_private, path.split("."))):
                    yield path
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            first, _, rest = ast.unparse(node).partition(".")
            if first in names:
                yield f"{names[first]}.{rest}"
        elif isinstance(node, ast.ClassDef):
            for base in node.bases:
                first, _, rest = ast.unparse(base).partition(".")
                if first in names:
                    path = f"{names[first]}.{rest}".strip(".")
                    yield from (f"{path}.{name}" for name in inherited(node, path))


def inherited(node: ast.ClassDef, path: str) -> Iterator[str]:
    """Private names of the class at ``path`` that a class of ours replaces or uses."""
    used = {
        item.attr
        for item in ast.walk(node)
        if isinstance(item, ast.Attribute)
        and isinstance(item.value, ast.Name)
        and item.value.id in ("self", "cls")
    }
    used |= {i.attr for i in ast.walk(node) if isinstance(i, ast.Attribute) and is_super(i.value)}
    used |= {
        item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    base = find(path)
    mine = set().union(*(vars(kind) for kind in base.__mro__ if kind is not object))
    yield from sorted(name for name in used & mine if is_private(name))


def is_super(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"
    )


def find(path: str) -> Any:
    """The class of a dotted name."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError:
        return getattr(find(module), name)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_private_name_of_a_dependency_is_used(path: Path) -> None:
    found = set(private_names(path.read_text(encoding="utf-8")))
    assert found == KEPT.get(str(path.relative_to(ROOT)), set())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import PIL._imaging", ["PIL._imaging"]),
        ("from PIL import _imaging", ["PIL._imaging"]),
        ("from PIL import _imaging as core\ncore.map_buffer", ["PIL._imaging"]),
        ("import numpy as np\nnp.core._methods.umr_sum", ["numpy.core._methods"]),
        (
            "from torch import ops\nops.mkldnn._linear_pointwise",
            ["torch.ops.mkldnn._linear_pointwise"],
        ),
        (
            "from kserve.model_server import ModelServer\n"
            "class S(ModelServer):\n    async def _serve(self): ...\n",
            ["kserve.model_server.ModelServer._serve"],
        ),
        ("import logging\nlogging._levelToName", []),
        ("from serving import errors\nerrors._x", []),
        ("import numpy as np\nclass A:\n    def _b(self): return self._c\n", []),
        ("from kserve import Model\nclass M(Model):\n    def _mine(self): ...\n", []),
        ("def f(row): return row._replace(a=1)", []),
    ],
)
def test_what_is_found(source: str, expected: list[str]) -> None:
    assert sorted(set(private_names(source))) == expected
