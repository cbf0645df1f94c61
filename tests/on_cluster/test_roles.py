"""Roles for people on the API server itself, as `kubectl auth can-i --as-group` asks it.

Nothing but an API server with RBAC is needed: no node, no KServe.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from cluster.roles import Cell, ask, check, documents
from common.kubernetes import Cluster
from common.roles import read_roles
from tests.manifests.test_roles import BEYOND, LETTERS, MATRIX, NAMED, ROLES
from tests.on_cluster.conftest import KEEP, NAMESPACE, kubectl

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def bound(cluster: Cluster) -> Iterator[Cluster]:
    """A cluster with the roles bound in the tests' namespace."""
    made = documents(read_roles())
    for document in made:
        if not document["kind"].startswith("Cluster"):
            document["metadata"]["namespace"] = NAMESPACE
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    text = yaml.safe_dump_all([namespace, *made])
    kubectl("apply", "--server-side", "-f", "-", given=text)
    yield cluster
    if not KEEP:
        kubectl("delete", "-f", "-", "--wait=false", given=text)


def verbs(cluster: Cluster, role: str, resource: str, name: str = "", beyond: bool = False) -> str:
    plural, _, group = resource.partition(".")
    allowed = (
        letter
        for letter, verb in LETTERS.items()
        if ask(cluster, Cell(role, verb, group, plural, name, beyond))
    )
    return "".join(allowed) or "-"


@pytest.mark.parametrize("line", MATRIX.strip().splitlines(), ids=lambda line: line.split()[0])
def test_the_api_server_allows_what_the_table_says(bound: Cluster, line: str) -> None:
    resource, *expected = line.split()
    assert [verbs(bound, role, resource) for role in ROLES] == [*expected, "-"]


def test_names_and_what_is_beyond_the_namespace(bound: Cluster) -> None:
    for (resource, name), roles in NAMED.items():
        for role, letters in roles.items():
            assert verbs(bound, role, resource, name) == letters, (role, resource, name)
    for resource, letters in BEYOND.items():
        for role in ROLES[:-1]:
            assert verbs(bound, role, resource, beyond=True) == (letters or "-"), (role, resource)


def test_the_command_finds_no_difference_until_there_is_one(bound: Cluster) -> None:
    asked, different = check(bound, read_roles())
    assert asked > 1000
    assert different == []
    kubectl("-n", NAMESPACE, "delete", "rolebinding", "people-deployer")
    try:
        found = {cell.role for cell, _ in check(bound, read_roles())[1]}
        assert found == {"deployer"}
    finally:
        (again,) = (
            d
            for d in documents(read_roles())
            if d["kind"] == "RoleBinding" and d["metadata"]["name"] == "people-deployer"
        )
        kubectl("-n", NAMESPACE, "apply", "--server-side", "-f", "-", given=yaml.safe_dump(again))
