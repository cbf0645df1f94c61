from __future__ import annotations

import os

from benchmarks.traced_model import table, variables


def test_the_table_says_what_is_added_and_how_surely() -> None:
    row = table([0.010, 0.012, 0.011], [0.011, 0.013, 0.0123]).splitlines()[-1]
    assert row == "| 11.00 | 1.10 ± 0.10 | 10.0% ± 0.9% | 0.50% |"


def test_variables_are_set_for_a_while() -> None:
    with variables({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1"}):
        assert os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://x:1"
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in os.environ
