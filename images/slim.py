"""Take out of an image what its server never loads: ``python -m images.slim SITE_PACKAGES``.

``--without NAME …`` takes out more, of a server that does not need it.

Runs once, while the image is built, on the folder that pip filled. What goes is named here with
its reason; that nothing else needed it is shown by running the servers and their tests on what
is left (see ``tests/images``).
"""

from __future__ import annotations

import argparse
import compileall
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode


@dataclass(frozen=True)
class Unused:
    """Paths below site-packages, with wildcards, and why no server loads them."""

    why: str
    patterns: tuple[str, ...]


UNUSED = (
    Unused(
        "installs packages; an image is never installed into",
        ("pip", "setuptools", "_distutils_hack", "distutils-precedence.pth"),
    ),
    Unused(
        "the Kubernetes client a second time, for asyncio",
        ("kubernetes/aio", "aiohttp_retry"),
    ),
    Unused("compiles .proto files, which kserve brings compiled", ("grpc_tools",)),
    Unused(
        "signs and checks tokens, which neither server does",
        ("cryptography", "cffi", "_cffi_backend*", "pycparser", "jwt", "pyasn1"),
    ),
    Unused(
        "calls of the Kubernetes API whose versions are not settled, and that nothing here makes",
        ("kubernetes/client/api/*_v?alpha*", "kubernetes/client/api/*_v?beta*"),
    ),
    Unused("time zones: every time here is UTC", ("tzdata", "pytz/zoneinfo")),
    Unused(
        "onnxruntime: its library a second time, for programs in C, and tools that make programs",
        (
            "onnxruntime/capi/libonnxruntime.so*",
            "onnxruntime/transformers",
            "onnxruntime/quantization",
            "onnxruntime/tools",
            "onnxruntime/datasets",
        ),
    ),
    Unused(
        "openvino: other devices, formats other than ONNX, programs in C, tools, and telemetry",
        (
            "openvino/libs/libopenvino_intel_gpu_plugin.so",
            "openvino/libs/libopenvino_intel_npu_plugin.so",
            "openvino/libs/cache.json",
            "openvino/libs/libopenvino_gguf_frontend.so*",
            "openvino/libs/libopenvino_jax_frontend.so*",
            "openvino/libs/libopenvino_paddle_frontend.so*",
            "openvino/libs/libopenvino_pytorch_frontend.so*",
            "openvino/libs/libopenvino_tensorflow_frontend.so*",
            "openvino/libs/libopenvino_tensorflow_lite_frontend.so*",
            "openvino/libs/libopenvino_c.so*",
            "openvino/include",
            "openvino/cmake",
            "openvino/tools",
            "openvino_telemetry",
        ),
    ),
    Unused(
        "tests of packages",
        (
            "pandas/tests",
            "numpy/**/tests",
            "psutil/tests",
            "websocket/tests",
            "sympy/**/tests",
            "networkx/**/tests",
            "torch/test",
            "torch/bin/*test*",
            "torch/bin/*Test*",
            "torch/lib/*test*",
        ),
    ),
    Unused(
        "builds C++ extensions",
        (
            "torch/include",
            "torch/share",
            "torch/bin/protoc*",
            "numpy/_core/include",
            "numpy/_core/lib",
            "**/*.pyi",
        ),
    ),
)

WITHOUT = {
    "torch": Unused(
        "what torch needs, in an image that has none",
        ("sympy", "isympy.py", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec", "filelock"),
    ),
    "pillow": Unused("decodes pictures, which the predictor never sees", ("PIL", "pillow.libs")),
    "aiohttp": Unused(
        "the transformer's HTTP client",
        (
            "aiohttp",
            "aiosignal",
            "aiohappyeyeballs",
            "frozenlist",
            "multidict",
            "propcache",
            "yarl",
        ),
    ),
}
"""By the name that ``--without`` takes."""

STRIP_ABOVE_BYTES = 100_000

NOT_COMPILED = re.compile(r"/kubernetes/client/(api|models)/|/sympy/|/networkx/")
"""Thousands of modules of which a server loads a few, if any: their bytecode would be larger than
what it saves."""


def slim(site_packages: Path, without: Sequence[str] = ()) -> int:
    """Remove, strip and compile.

    Args:
        without: names of ``WITHOUT`` to remove, too.

    Returns:
        Bytes that are gone, the added bytecode deducted.
    """
    before = size(site_packages)
    for path in sorted(unused_paths(site_packages, without)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)  # inside a folder that went before it
    for library in extension_modules(site_packages):
        subprocess.run(["/usr/bin/strip", "--strip-unneeded", library], check=True)
    compile_all(site_packages)
    return before - size(site_packages)


def unused_paths(site_packages: Path, without: Sequence[str] = ()) -> Iterator[Path]:
    """What :data:`UNUSED` names and is there."""
    for unused in (*UNUSED, *(WITHOUT[name] for name in without)):
        for pattern in unused.patterns:
            yield from site_packages.glob(pattern)
            if "/" not in pattern:
                name = pattern.partition(".")[0].replace("_", "?")
                yield from site_packages.glob(f"{name}-*.dist-info")


def extension_modules(site_packages: Path) -> Iterator[Path]:
    """Compiled Python modules that may carry symbols for a debugger.

    Libraries that wheels bundle (``*.libs``, ``torch/lib``, ``openvino/libs``) are left: they were
    rewritten after linking, and strip can break such files.
    """
    for path in site_packages.glob("**/*.so"):
        parents = path.relative_to(site_packages).parts[:-1]
        bundled = any(part.endswith(".libs") or part in ("lib", "libs") for part in parents)
        if not bundled and path.stat().st_size > STRIP_ABOVE_BYTES:
            yield path


def compile_all(folder: Path) -> None:
    """Bytecode beside the sources, trusted without looking at them.

    Without it a start from zero compiles, and, for want of a place to write, does so every time.
    """
    compileall.compile_dir(
        folder,
        quiet=2,  # some packages bring sources of newer Pythons
        rx=NOT_COMPILED,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m images.slim")
    parser.add_argument("site_packages", type=Path)
    parser.add_argument("--without", nargs="*", choices=sorted(WITHOUT), default=())
    options = parser.parse_args()
    folder = options.site_packages
    removed = slim(folder, options.without)
    print(f"images: {removed / 1e6:.0f} MB taken out of {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
