from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from images import slim
from images.slim import UNUSED, WITHOUT, extension_modules, size, unused_paths
from tests.conftest import ROOT
from tests.needs import missing


def write(root: Path, *paths: str, content: bytes = b"x = 1\n") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


def left(root: Path) -> set[str]:
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_what_no_server_loads_goes_and_the_rest_stays(tmp_path: Path) -> None:
    kept = {
        "kubernetes/client/api/core_v1_api.py",
        "kubernetes/client/models/v1alpha3_x.py",
        "numpy/testing/__init__.py",
        "pandas/_testing/__init__.py",
        "torch/testing/__init__.py",
        "torch/bin/torch_shm_manager",
        "torch/lib/libtorch_cpu.so",
        "pipe/__init__.py",
        "aiohttp2-1.0.dist-info/METADATA",
    }
    gone = {
        "pip/__init__.py",
        "pip-23.0.dist-info/METADATA",
        "aiohttp_retry/__init__.py",
        "aiohttp_retry-2.9.dist-info/METADATA",
        "kubernetes/aio/client.py",
        "kubernetes/client/api/storage_v1beta1_api.py",
        "numpy/linalg/tests/test_linalg.py",
        "torch/include/ATen/ATen.h",
        "torch/bin/test_api",
        "torch/bin/protoc-3.13",
        "torch/lib/libtorchbind_test.so",
        "torch/nn/__init__.pyi",
    }
    write(tmp_path, *kept, *gone)
    before = size(tmp_path)
    taken = slim.slim(tmp_path)
    assert left(tmp_path) == kept
    assert taken == before - size(tmp_path)


def test_modules_start_from_bytecode_that_nobody_checks(tmp_path: Path) -> None:
    write(tmp_path, "package/__init__.py", "sympy/core.py", "kubernetes/client/models/v1_pod.py")
    slim.slim(tmp_path)
    compiled = Path(importlib.util.cache_from_source(str(tmp_path / "package" / "__init__.py")))
    flags = int.from_bytes(compiled.read_bytes()[4:8], "little")
    assert flags == 0b01  # by hash, unchecked (PEP 552)
    assert [path.name for path in tmp_path.rglob("*.pyc")] == [compiled.name]


def test_only_pythons_own_libraries_are_stripped(tmp_path: Path) -> None:
    large = b"x" * (slim.STRIP_ABOVE_BYTES + 1)
    write(tmp_path, "uvloop/loop.so", content=large)
    write(tmp_path, "numpy.libs/blas.so", "torch/lib/libtorch.so", content=large)
    write(tmp_path, "openvino/libs/libopenvino_intel_cpu_plugin.so", content=large)
    write(tmp_path, "yaml/small.so")
    assert list(extension_modules(tmp_path)) == [tmp_path / "uvloop" / "loop.so"]


def test_every_removal_has_a_reason() -> None:
    for unused in UNUSED:
        assert unused.why
        assert unused.patterns


def test_what_is_listed_is_really_there() -> None:
    """A name that fits nothing any more would hide that something new has to be listed."""
    interpreter = slim.Path(sys.prefix).parent / "predictor" / "bin" / "python"
    if not interpreter.exists():
        missing("environments", "the predictor's environment is not there: `make run` builds it")
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    printed = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True)
    installed = Path(printed.stdout.strip())
    found = set(unused_paths(installed, list(WITHOUT)))
    for unused in (*UNUSED, *WITHOUT.values()):
        for pattern in unused.patterns:
            assert found & set(installed.glob(pattern)), f"{pattern} fits nothing"


def test_nothing_goes_that_a_legend_is_drawn_with() -> None:
    """Libraries that are loaded late: a server without them starts, and fails at the first PNG."""
    interpreter = slim.Path(sys.prefix).parent / "transformer" / "bin" / "python"
    if not interpreter.exists():
        missing("environments", "the transformer's environment is not there: `make run` builds it")
    code = """
import sysconfig
from PIL import ImageFont
import transformer.segmentation.answers
ImageFont.load_default(14)
print(sysconfig.get_path("purelib"))
print(*(line.split()[-1] for line in open("/proc/self/maps")), sep="\\n")
"""
    printed = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True)
    installed, *mapped = (Path(line) for line in printed.stdout.splitlines())
    gone = set(unused_paths(installed))
    assert any(path.name.startswith("libfreetype") for path in mapped)
    assert not [path for path in mapped if gone & {path, *path.parents}]


def test_a_predictor_without_torch_pillow_and_aiohttp_answers() -> None:
    """Everything that its image lacks is kept from being imported."""
    gone = sorted(
        {path.name.partition(".")[0] for path in unused_names(("torch", "pillow", "aiohttp"))}
        | {"torch"}
    )
    code = f"""
import sys
from pathlib import Path
sys.modules.update(dict.fromkeys({gone!r}))
import numpy as np
from predictor.__main__ import main
from predictor.loading import load_revision
from serving.server import VisionServer
loaded = load_revision(Path("models"), "mnist", "1")
print(loaded.engine, loaded.probabilities(np.zeros((3, 1, 28, 28), np.float32)).shape)
"""
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "onnxruntime (3, 10)"


def unused_names(without: tuple[str, ...]) -> list[Path]:
    return [Path(name) for key in without for name in WITHOUT[key].patterns]
