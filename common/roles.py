"""Roles of people: what each may do in the console, in its API and on the cluster.

``roles.yaml`` beside this file is the table; nothing else says who may do what.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

TABLE = Path(__file__).with_name("roles.yaml")
SEVERAL = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True)
class Rule:
    """A rule of Kubernetes' RBAC.

    Attributes:
        names: of the objects that it is for; empty: of every one.
    """

    groups: tuple[str, ...]
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Role:
    """One role, with what it has from those that it includes.

    Attributes:
        rights: of the console and the API.
        own, cluster: rules of its own in the service's namespace, and beyond every namespace.
        includes: names of the roles whose rules it has besides.
    """

    name: str
    about: str
    rights: frozenset[str]
    own: tuple[Rule, ...]
    cluster: tuple[Rule, ...]
    includes: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Attributes:
    rights: what each right is for.
    roles: by name, in order.
    """

    rights: dict[str, str]
    roles: dict[str, Role]

    def rights_of(self, names: Iterable[str]) -> frozenset[str]:
        """Of somebody who has these roles; one that is not known any more gives none."""
        known = [self.roles[name].rights for name in names if name in self.roles]
        return frozenset().union(*known)

    def rules_of(self, name: str) -> tuple[Rule, ...]:
        """All rules in the service's namespace, those of included roles first."""
        return tuple(rule for part in self._line(name) for rule in part.own)

    def cluster_rules_of(self, name: str) -> tuple[Rule, ...]:
        return tuple(rule for part in self._line(name) for rule in part.cluster)

    def _line(self, name: str) -> Iterator[Role]:
        seen: dict[str, Role] = {}

        def visit(each: str) -> None:
            for included in self.roles[each].includes:
                visit(included)
            seen.setdefault(each, self.roles[each])

        visit(name)
        yield from seen.values()


@cache
def read_roles() -> Table:
    """The table of this version."""
    return parse_roles(yaml.safe_load(TABLE.read_text(encoding="utf-8")))


def parse_roles(document: dict[str, Any]) -> Table:
    """Raises ValueError for a right or a role that is used and nowhere said."""
    rights: dict[str, str] = document["rights"]
    roles: dict[str, Role] = {}
    for name, given in document["roles"].items():
        includes = tuple(given.get("includes", ()))
        if unknown := [other for other in includes if other not in roles]:
            raise ValueError(f"{name} includes {unknown[0]}, which does not stand before it")
        own = frozenset(given.get("rights", ()))
        if strange := own - set(rights):
            raise ValueError(f"{name} has {min(strange)}, which is no right")
        roles[name] = Role(
            name,
            given["about"],
            own.union(*(roles[other].rights for other in includes)),
            tuple(map(_rule, given.get("kubernetes", ()))),
            tuple(map(_rule, given.get("cluster", ()))),
            includes,
        )
    return Table(rights, roles)


def _rule(given: dict[str, list[str]]) -> Rule:
    names = tuple(name for text in given.get("names", ()) for name in _names(text))
    return Rule(tuple(given["groups"]), tuple(given["resources"]), tuple(given["verbs"]), names)


def _names(text: str) -> Iterator[str]:
    """``part-{0..2}`` is three names."""
    found = SEVERAL.search(text)
    if found is None:
        yield text
        return
    for number in range(int(found[1]), int(found[2]) + 1):
        yield text.replace(found[0], str(number))
