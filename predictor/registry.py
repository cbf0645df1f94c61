"""What can be had by name: this project's own, and what installed packages add.

A package adds an engine or a network without a fork, by an entry point of its own::

    [project.entry-points."vision.engines"]
    tensorrt = "my_package.engine:TensorRtEngine"
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

ENGINES = "vision.engines"
NETWORKS = "vision.networks"


def registered(group: str, built_in: Mapping[str, str]) -> dict[str, EntryPoint]:
    """Entry points by name, none of them loaded.

    Args:
        group: of the packages' entry points.
        built_in: ``module:attribute`` by name; a package cannot take one of these names.
    """
    found = {point.name: point for point in entry_points(group=group)}
    own = {name: EntryPoint(name, value, group) for name, value in built_in.items()}
    return {**found, **own}
