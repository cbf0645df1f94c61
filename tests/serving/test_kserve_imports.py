"""Each in a process of its own: what is imported there cannot be taken back."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import ROOT

UNUSED = ("pandas", "kubernetes", "kserve.api", "kserve.models")


def found(script: str) -> Any:
    """What a script prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import json, sys\nsys.argv = ['x']\n" + script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("server", ["transformer", "predictor"])
def test_a_server_imports_neither_pandas_nor_the_clusters_client(server: str) -> None:
    names = found(f"import {server}.__main__\nprint(json.dumps(sorted(sys.modules)))")
    assert "kserve.model_server" in names
    assert [name for name in UNUSED if name in names] == []


def test_kserve_is_whole_for_whoever_asks_for_its_names() -> None:
    assert found("""
import serving
import kserve.model_server
import kserve
from kserve import KServeClient, Model, V1beta1InferenceService, errors
from kserve.model import Model as same
whole = kserve.InferRequest.__name__, kserve.constants.KSERVE_GROUP
kinds = KServeClient.__name__, errors.__name__, type(kserve).__name__
print(json.dumps([whole, Model is same, *kinds]))
""") == [["InferRequest", "serving.kserve.io"], True, "KServeClient", "kserve.errors", "module"]


def test_a_name_that_there_is_not() -> None:
    assert (
        found("""
import serving
import kserve
try:
    kserve.nothing
except AttributeError as error:
    print(json.dumps(str(error)))
""")
        == "module 'kserve' has no attribute 'nothing'"
    )


def test_data_frames_still_work() -> None:
    assert found("""
import serving
from kserve.protocol.infer_type import InferInput, InferRequest
from kserve.utils.utils import get_predict_input, get_predict_response
early = "pandas" in sys.modules
tensor = InferInput("x", [2], "INT64", data=[1, 2])
frame = InferRequest("m", [tensor]).as_dataframe()
import pandas
again = get_predict_input({"instances": [{"a": [1]}, {"a": [2]}]})
print(json.dumps([early, isinstance(frame, pandas.DataFrame), frame["x"].tolist(),
    isinstance(again, pandas.DataFrame), len(again)]))
""") == [False, True, [1, 2], True, 2]


def test_pandas_itself_is_untouched() -> None:
    assert found("""
import serving
import kserve.model_server
import pandas
print(json.dumps([int(pandas.DataFrame({"a": [1]})["a"].sum()), type(pandas).__name__]))
""") == [1, "module"]


def test_where_kserve_is_there_already_nothing_is_changed() -> None:
    assert found("""
import kserve
import serving
names = [type(finder).__module__ for finder in sys.meta_path]
print(json.dumps([type(kserve).__name__, "serving.kserve_imports" in names]))
""") == ["module", False]
