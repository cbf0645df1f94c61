"""``vision roles``: who may do what, as a table, as component `roles`, and as a cluster has it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from cluster.commands import ROOT
from cluster.overlay import NAMESPACE
from common.kubernetes import Cluster, Kind, KubernetesError
from common.roles import Rule, Table, read_roles
from common.table import table

COMPONENT = ROOT / "manifests" / "components" / "roles"
FILES = {
    "roles.yaml": ("Role", "ClusterRole"),
    "bindings.yaml": ("RoleBinding", "ClusterRoleBinding"),
}
HEAD = "# Written by `make roles ARGS=--write` from common/roles.yaml: change it there.\n"
RBAC = "rbac.authorization.k8s.io"
REVIEW = Kind("/apis/authorization.k8s.io/v1", "subjectaccessreviews", namespaced=False)
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")
FORBIDDEN = (
    *(("", "secrets"), ("", "serviceaccounts"), ("", "serviceaccounts/token")),
    *((RBAC, "roles"), (RBAC, "rolebindings"), ("", "pods"), ("", "pods/attach")),
)
"""Asked about besides what any role may do: what gives away more than it says."""
DIFFERENT = 3

Document = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vision roles", description=__doc__)
    parser.add_argument("--write", action="store_true", help="component `roles` anew")
    parser.add_argument(
        "--check", action="store_true", help="ask the cluster of KUBECONFIG about every cell"
    )
    parser.add_argument("--namespace", default=NAMESPACE, help="of the service")
    options = parser.parse_args(arguments)
    known = read_roles()
    if options.write:
        for path in write_component(known):
            print(path.relative_to(ROOT))
        return 0
    if not options.check:
        print(shown(known))
        return 0
    try:
        with Cluster.connect(options.namespace) as cluster:
            asked, different = check(cluster, known)
    except KubernetesError as error:
        print(f"roles: {error}", file=sys.stderr)
        return 1
    for cell, allowed in different:
        print(f"{'allowed' if allowed else 'refused'}, unlike the table: {cell}")
    print(f"{asked} cells asked, {len(different)} unlike the table")
    return DIFFERENT if different else 0


def group_of(role: str) -> str:
    """The group whose members have a role, as an API server knows it from their tokens."""
    return f"vision:{role}"


def shown(known: Table) -> str:
    """Roles for people: about, rights, and what each may do on the cluster beyond those before."""
    parts = []
    for role in known.roles.values():
        parts.append(f"{role.name}: {role.about}")
        if role.includes:
            parts.append(f"  all that {' and '.join(role.includes)} may")
        before = known.rights_of(role.includes)
        rows = [("console", right, known.rights[right]) for right in sorted(role.rights - before)]
        rows += [("namespace", *_told(rule)) for rule in role.own]
        rows += [("cluster", *_told(rule)) for rule in role.cluster]
        if rows:
            text = table(("where", "what", "may"), rows)
            parts += [f"  {line}" for line in text.splitlines()]
        parts.append("")
    return "\n".join(parts).rstrip()


def _told(rule: Rule) -> tuple[str, str]:
    names = f" ({', '.join(_short(rule.names))})" if rule.names else ""
    return f"{', '.join(rule.resources)}{names}", " ".join(rule.verbs)


def _short(names: tuple[str, ...]) -> tuple[str, ...]:
    return names if len(names) < 5 else (*names[:2], "…", names[-1])


def documents(known: Table) -> list[Document]:
    """Roles and bindings of those who have any rules."""
    found: list[Document] = []
    everybody = []
    for name in known.roles:
        if not (rules := known.rules_of(name)):
            continue
        everybody.append(group_of(name))
        found.append(_role("Role", f"people-{name}", rules))
        found.append(_binding("RoleBinding", "Role", f"people-{name}", [group_of(name)]))
    # One for all of them: no role may do there what another may not.
    beyond = list(dict.fromkeys(chain(*map(known.cluster_rules_of, known.roles))))
    found.append(_role("ClusterRole", "vision-people", tuple(beyond)))
    found.append(_binding("ClusterRoleBinding", "ClusterRole", "vision-people", everybody))
    return found


def _role(kind: str, name: str, rules: tuple[Rule, ...]) -> Document:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": kind,
        "metadata": {"name": name},
        "rules": [
            {
                "apiGroups": list(rule.groups),
                "resources": list(rule.resources),
                **({"resourceNames": list(rule.names)} if rule.names else {}),
                "verbs": list(rule.verbs),
            }
            for rule in rules
        ],
    }


def _binding(kind: str, of_kind: str, name: str, groups: list[str]) -> Document:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": kind,
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": of_kind, "name": name},
        "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": group} for group in groups],
    }


def write_component(known: Table, folder: Path = COMPONENT) -> list[Path]:
    """Write roles and bindings; returns the files."""
    written = []
    for name, text in component(known).items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def component(known: Table) -> dict[str, str]:
    """The text of each file, by its name."""
    made = documents(known)
    return {
        name: HEAD
        + yaml.safe_dump_all([d for d in made if d["kind"] in kinds], sort_keys=False, width=100)
        for name, kinds in FILES.items()
    }


@dataclass(frozen=True)
class Cell:
    """One question: may this role do that to an object of this name? Empty: to any."""

    role: str
    verb: str
    group: str
    resource: str
    name: str = ""
    everywhere: bool = False

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.role} {self.verb} {what}{f' {self.name}' if self.name else ''}"


def cells(known: Table) -> Iterator[tuple[Cell, bool]]:
    """Every role, verb and resource of the table, with what the table says."""
    everyone = list(known.roles)
    for everywhere, rules_of in ((False, known.rules_of), (True, known.cluster_rules_of)):
        rules = [rule for name in everyone for rule in rules_of(name)]
        objects = {(g, r, n) for x in rules for g in x.groups for r in x.resources for n in _of(x)}
        if not everywhere:
            objects |= {(group, resource, "") for group, resource in FORBIDDEN}
        for role in everyone:
            for group, resource, name in sorted(objects):
                for verb in VERBS:
                    allowed = any(_allows(x, verb, group, resource, name) for x in rules_of(role))
                    yield Cell(role, verb, group, resource, name, everywhere), allowed


def _of(rule: Rule) -> tuple[str, ...]:
    """Names to ask about: any, and the first and the last of those that are named."""
    return ("", rule.names[0], rule.names[-1]) if rule.names else ("",)


def _allows(rule: Rule, verb: str, group: str, resource: str, name: str) -> bool:
    fits = group in rule.groups and resource in rule.resources and verb in rule.verbs
    return fits and (not rule.names or name in rule.names)


def check(cluster: Cluster, known: Table) -> tuple[int, list[tuple[Cell, bool]]]:
    """Ask the API server about every cell, as somebody who is in the role's group alone.

    Returns:
        How many were asked, and those that it answers otherwise, with its answer.
    """
    asked, different = 0, []
    for cell, expected in cells(known):
        asked += 1
        if (allowed := ask(cluster, cell)) != expected:
            different.append((cell, allowed))
    return asked, different


def ask(cluster: Cluster, cell: Cell) -> bool:
    """What ``kubectl auth can-i --as=somebody --as-group=…`` would say."""
    resource, _, part = cell.resource.partition("/")
    wanted = {"verb": cell.verb, "group": cell.group, "resource": resource, "subresource": part}
    if not cell.everywhere:
        wanted["namespace"] = cluster.namespace
    spec = {
        "user": "somebody",
        "groups": [group_of(cell.role), "system:authenticated"],
        "resourceAttributes": {**wanted, "name": cell.name},
    }
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    return bool(cluster.create(REVIEW, review)["status"]["allowed"])


if __name__ == "__main__":
    sys.exit(main())
