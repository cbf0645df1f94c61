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
    # That of TLS is written apart, where there are certificates; metrics have a port already.
    listeners = cluster["static_resources"]["listeners"]
    assert [listeners.pop()["name"] for _ in range(2)] == ["metrics", "edge-tls"]
    local = local_configuration(EdgePorts(1, 2, 3, 4, 5))
    places = set(differences(copy.deepcopy(cluster), local))
    assert places <= {
        *("address", "port_value", "type", "host_rewrite_literal"),
        "lb_endpoints",  # there are no other checks
    }


def test_spans_are_sent_where_the_servers_send_theirs():
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.05",
    }
    document = local_configuration(EdgePorts(1, 2, 3, 4, 5), environment=environment)
    (listener,) = document["static_resources"]["listeners"]
    tracing = listener["filter_chains"][0]["filters"][0]["typed_config"]["tracing"]
    assert tracing["random_sampling"] == {"value": 5}
    service = tracing["provider"]["typed_config"]["http_service"]["http_uri"]
    assert service["uri"] == "http://collector:4318/v1/traces"
    clusters = {item["name"]: item for item in document["static_resources"]["clusters"]}
    (endpoints,) = clusters[service["cluster"]]["load_assignment"]["endpoints"]
    address = endpoints["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    assert address == {"address": "collector", "port_value": 4318}


def test_origins_are_those_of_the_models_alone():
    document = local_configuration(EdgePorts(1, 2, 3, 4, 5), origins=["https://a.example", "*"])
    (listener,) = document["static_resources"]["listeners"]
    (chain,) = listener["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    filters = [item["name"] for item in manager["http_filters"]]
    assert filters.index(CORS) < filters.index("envoy.filters.http.ext_authz")
    for route in manager["route_config"]["virtual_hosts"][0]["routes"]:
        policy = route.get("typed_per_filter_config", {}).get(CORS)
        assert (policy is not None) == (
            route.get("route", {}).get("cluster") in ("models", "variants")
        )
        if policy:
            matchers = policy["allow_origin_string_match"]
            assert matchers == [{"exact": "https://a.example"}, {"safe_regex": {"regex": ".*"}}]
            assert policy["allow_methods"] == ",".join(METHODS)
            assert policy["allow_headers"] == ",".join(REQUEST_HEADERS)
            assert policy["expose_headers"] == ",".join(ANSWER_HEADERS)
