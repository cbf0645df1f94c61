"""Component `roles`, evaluated as RBAC does it: who may do what on the cluster, verb by verb."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.roles import COMPONENT, component, group_of
from common.roles import Table, parse_roles, read_roles
from tests.manifests.rendering import combination, render
from tests.rollout.test_rights import TABLE as OF_A_ROLLOUT

Document = dict[str, Any]

ROLES = ("viewer", "developer", "deployer", "trainer", "operator", "billing")
LETTERS = {
    "g": "get",
    "l": "list",
    "w": "watch",
    "c": "create",
    "u": "update",
    "p": "patch",
    "d": "delete",
}
EVERY = "glwcupd"
# Verbs by resource, for viewer, developer, deployer, trainer and operator; billing has none.
MATRIX = """
inferenceservices.serving.kserve.io         glw  glw  glwcup  glw    glwcupd
inferenceservices/status.serving.kserve.io  -    -    p       -      p
servingruntimes.serving.kserve.io           glw  glw  glw     glw    glwcupd
services.serving.knative.dev                glw  glw  glw     glw    glw
configurations.serving.knative.dev          glw  glw  glw     glw    glw
revisions.serving.knative.dev               glw  glw  glw     glw    glw
routes.serving.knative.dev                  glw  glw  glw     glw    glw
domainmappings.serving.knative.dev          -    -    -       -      glwcupd
deployments.apps                            glw  glw  glw     glw    glwcupd
deployments/scale.apps                      -    -    -       -      gup
statefulsets.apps                           glw  glw  glw     glw    glwcupd
statefulsets/scale.apps                     -    -    -       -      gup
replicasets.apps                            glw  glw  glw     glw    glw
jobs.batch                                  glw  glw  glwc    glwcd  glwcupd
cronjobs.batch                              glw  glw  glw     glw    glwcupd
trainjobs.trainer.kubeflow.org              -    -    -       glwcd  glwcd
networkpolicies.networking.k8s.io           glw  glw  glw     glw    glwcupd
poddisruptionbudgets.policy                 glw  glw  glw     glw    glwcupd
certificates.cert-manager.io                -    -    -       -      glw
roles.rbac.authorization.k8s.io             -    -    -       -      glw
rolebindings.rbac.authorization.k8s.io      -    -    -       -      glw
configmaps                                  glw  glw  glwc    glw    glwcupd
events                                      glw  glw  glw     glw    glw
persistentvolumeclaims                      glw  glw  glw     glw    glwcupd
services                                    glw  glw  glw     glw    glwcupd
pods                                        glw  glw  glw     glw    glwd
pods/log                                    -    g    g       g      g
pods/proxy                                  -    -    gc      -      gc
pods/exec                                   -    -    -       -      c
pods/eviction                               -    -    -       -      c
pods/portforward                            -    -    -       -      c
pods/attach                                 -    -    -       -      -
secrets                                     -    -    -       -      cupd
serviceaccounts                             -    -    -       -      -
serviceaccounts/token                       -    -    -       -      -
resourcequotas                              -    -    -       -      -
"""
NAMED = {
    ("configmaps", "vision-rollout"): {"deployer": "glwcud"},
    ("configmaps", "vision-gate-47"): {"deployer": "glwcud"},
    ("configmaps", "vision-gate-48"): {"deployer": "glwc"},
    ("jobs.batch", "vision-gate"): {"deployer": "glwcd"},
    ("cronjobs.batch", "lifecycle"): {"trainer": "glwp", "deployer": "glw"},
}
"""What a role may do to an object of this name, where that is more than to any."""
BEYOND = {"clusterservingruntimes.serving.kserve.io": "glw", "nodes": "gl", "namespaces": ""}


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    return render(combination(tmp_path_factory.mktemp("roles"), "base", ("roles",)))


def allowed(documents: list[Document], role: str, verb: str, resource: str, name: str = "") -> bool:
    """As an API server decides for a member of the role's group, in the service's namespace."""
    plural, _, group = resource.partition(".")
    for binding in documents:
        if not binding["kind"].endswith("RoleBinding"):
            continue
        groups = {s["name"] for s in binding["subjects"] if s["kind"] == "Group"}
        if group_of(role) not in groups:
            continue
        reference = binding["roleRef"]
        (given,) = (
            d
            for d in documents
            if (d["kind"], d["metadata"]["name"]) == (reference["kind"], reference["name"])
        )
        for rule in given["rules"]:
            named = rule.get("resourceNames", [])
            if (
                {group, "*"} & set(rule["apiGroups"])
                and {plural, "*"} & set(rule["resources"])
                and {verb, "*"} & set(rule["verbs"])
                and (not named or name in named)
            ):
                return True
    return False


def verbs(documents: list[Document], role: str, resource: str, name: str = "") -> str:
    asked = LETTERS.items()
    return "".join(k for k, v in asked if allowed(documents, role, v, resource, name)) or "-"


@pytest.mark.parametrize("line", MATRIX.strip().splitlines(), ids=lambda line: line.split()[0])
def test_each_role_may_do_what_the_table_says(documents: list[Document], line: str) -> None:
    resource, *expected = line.split()
    assert [verbs(documents, role, resource) for role in ROLES] == [*expected, "-"]


@pytest.mark.parametrize("resource", BEYOND)
def test_beyond_the_namespace_little_is_seen(documents: list[Document], resource: str) -> None:
    found = {role: verbs(documents, role, resource) for role in ROLES}
    assert set(list(found.values())[:-1]) == {BEYOND[resource] or "-"}
    assert found["billing"] == "-"


def test_a_name_allows_more_than_every_name(documents: list[Document]) -> None:
    for (resource, name), expected in NAMED.items():
        for role, letters in expected.items():
            assert verbs(documents, role, resource, name) == letters, (role, resource, name)


def test_the_matrix_asks_about_everything_that_is_granted(documents: list[Document]) -> None:
    asked = {line.split()[0] for line in MATRIX.strip().splitlines()} | set(BEYOND)
    granted = set()
    for document in documents:
        if document["kind"] in ("Role", "ClusterRole"):
            for rule in document["rules"]:
                assert "*" not in {*rule["verbs"], *rule["resources"], *rule["apiGroups"]}
                (group,) = rule["apiGroups"]
                granted |= {f"{r}.{group}" if group else r for r in rule["resources"]}
    assert granted <= asked


def test_who_deploys_may_do_all_that_a_rollout_does(documents: list[Document]) -> None:
    groups = {
        line.split()[0].partition(".")[0]: line.split()[0] for line in MATRIX.splitlines()[1:]
    }
    # Knative has Services too; a rollout asks for none of either.
    for right in OF_A_ROLLOUT:
        name = "" if right.name == "*" else right.name
        assert allowed(documents, "deployer", right.verb, groups[right.resource], name), right


def test_the_component_is_written_from_the_table() -> None:
    for name, text in component(read_roles()).items():
        assert (COMPONENT / name).read_text() == text, "run `make roles ARGS=--write`"


def test_the_page_names_every_role_and_right() -> None:
    text = (Path(COMPONENT).parents[2] / "docs" / "roles.md").read_text()
    known = read_roles()
    for name in (*known.roles, *known.rights):
        assert f"`{name}`" in text, name
    shown = re.search(r"```text\n(resource .*?)```", text, re.DOTALL)
    assert shown
    rows = [line.split() for line in shown[1].splitlines()[1:]]
    assert rows == [[*line.split(), "-"] for line in MATRIX.strip().splitlines()]


@pytest.mark.parametrize(
    ("roles", "problem"),
    [
        ({"a": {"about": "", "rights": ["fly"]}}, "fly"),
        ({"a": {"about": "", "includes": ["b"]}, "b": {"about": ""}}, "includes b"),
    ],
)
def test_a_table_with_a_hole_is_refused(roles: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_roles({"rights": {}, "roles": roles})


def test_rights_come_from_every_role_and_from_none_that_is_gone() -> None:
    known: Table = parse_roles(
        yaml.safe_load(
            "{rights: {see: x, pay: y}, roles: {a: {about: '', rights: [see]}, "
            "b: {about: '', rights: [pay], includes: [a]}}}"
        )
    )
    assert known.rights_of(["a", "gone"]) == {"see"}
    assert known.rights_of(["b"]) == {"see", "pay"}
