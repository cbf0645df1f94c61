import copy

import yaml

from edge.envoy import CONFIGURATION, EdgePorts, local_configuration


def differences(cluster, local, place=""):
    """The places at which two documents differ."""
    if isinstance(cluster, dict) and isinstance(local, dict):
        for name in {**cluster, **local}:
            yield from differences(cluster.get(name), local.get(name), f"{place}.{name}")
    elif isinstance(cluster, list) and isinstance(local, list) and len(cluster) == len(local):
        for index, (one, other) in enumerate(zip(cluster, local, strict=True)):
            yield from differences(one, other, f"{place}[{index}]")
    elif cluster != local:
        yield place.rpartition(".")[2]


def test_only_addresses_differ_from_the_cluster():
    cluster = yaml.safe_load(CONFIGURATION.read_text())
    local = local_configuration(EdgePorts(1, 2, 3, 4, 5))
    places = set(differences(copy.deepcopy(cluster), local))
    assert places <= {"address", "port_value", "type", "host_rewrite_literal"}
