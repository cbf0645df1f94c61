"""KServe without what a server of tensors never uses; installed by ``serving/__init__.py``.

``import kserve`` 0.21 takes half of a server's start and a third of its memory for two things that
are not used here: the client of the Kubernetes API with a hundred model classes (imported by
``kserve/__init__.py`` itself), and pandas (imported by two modules, for the conversion to data
frames). Both still work, and are imported when somebody uses them:

- ``kserve`` is a package whose submodules can be imported without its ``__init__.py``; that is
  run when a name is asked for that no submodule has, such as ``kserve.KServeClient``.
- In the two modules, ``pd`` stands for pandas until one of its functions is needed.

Nothing else is changed: ``import pandas`` anywhere else gives pandas.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

PACKAGE = "kserve"
USERS_OF_PANDAS = ("kserve.protocol.infer_type", "kserve.utils.utils")


class _Deferred(ModuleType):
    """Stands for pandas in one module; while that is being imported, for its annotations too."""

    importing = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Any if self.importing else getattr(importlib.import_module("pandas"), name)


class _WithoutPandas(Loader):
    """Runs a module that imports pandas, with a deferred one in its place."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if "pandas" in sys.modules:
            self._loader.exec_module(module)
            return
        deferred = sys.modules["pandas"] = _Deferred("pandas")
        try:
            self._loader.exec_module(module)
        finally:
            del sys.modules["pandas"]
            deferred.importing = False


class _Package(ModuleType):
    """The package ``kserve`` before its ``__init__.py`` has run."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or importlib.util.find_spec(f"{PACKAGE}.{name}") is not None:
            # The import system asks before it imports a submodule.
            raise AttributeError(f"module {PACKAGE!r} has no attribute {name!r}")
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert isinstance(self.__loader__, _WithoutInit)
        self.__loader__.loader.exec_module(self)
        return getattr(self, name)


class _WithoutInit(Loader):
    """Gives the package without running its ``__init__.py``."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Package(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Later, if at all."""


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != PACKAGE and fullname not in USERS_OF_PANDAS:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            wrap = _WithoutInit if fullname == PACKAGE else _WithoutPandas
            spec.loader = wrap(spec.loader)
        return spec


def install() -> None:
    """Must run before anything of KServe is imported; after that, it does nothing."""
    if PACKAGE not in sys.modules:
        sys.meta_path.insert(0, _Finder())
