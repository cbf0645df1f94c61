import copy

import yaml

from common.origins import ANSWER_HEADERS, METHODS, REQUEST_HEADERS
from edge.envoy import CONFIGURATION, CORS, EdgePorts, local_configuration


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


def test_origins_are_those_of_the_models_alone():
    document = local_configuration(EdgePorts(1, 2, 3, 4, 5), origins=["https://a.example", "*"])
    (listener,) = document["static_resources"]["listeners"]
    (chain,) = listener["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    filters = [item["name"] for item in manager["http_filters"]]
    assert filters.index(CORS) < filters.index("envoy.filters.http.ext_authz")
    for route in manager["route_config"]["virtual_hosts"][0]["routes"]:
        policy = route.get("typed_per_filter_config", {}).get(CORS)
        assert (policy is not None) == (route.get("route", {}).get("cluster") == "models")
        if policy:
            matchers = policy["allow_origin_string_match"]
            assert matchers == [{"exact": "https://a.example"}, {"safe_regex": {"regex": ".*"}}]
            assert policy["allow_methods"] == ",".join(METHODS)
            assert policy["allow_headers"] == ",".join(REQUEST_HEADERS)
            assert policy["expose_headers"] == ",".join(ANSWER_HEADERS)
