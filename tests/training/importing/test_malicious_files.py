"""Programs that run code when they are opened or asked: with harmless marks, in the sandbox.

How such files are made: a ``.pt2`` is an archive in which some entries are pickles, and a
TorchScript program may map any file as the memory of a tensor.
"""

from __future__ import annotations

import io
import pickle
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.importing.conftest import SIDE, flowers
from training.importing.__main__ import main

pytestmark = pytest.mark.filterwarnings("ignore")  # of PyTorch, about TorchScript

EXAMPLE = torch.zeros(2, 3, SIDE, SIDE)


class Writes:
    """What writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({self.path!r}, 'w').write('x')",)


class Calls:
    """What calls out when it is unpickled."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __reduce__(self) -> tuple[Any, ...]:
        code = f"import socket; socket.create_connection(('127.0.0.1', {self.port}), 2)"
        return exec, (code,)


class Listener:
    """A port of this machine, and how many have called it."""

    def __init__(self, opened: socket.socket) -> None:
        self._opened = opened
        self.port: int = opened.getsockname()[1]

    def calls(self) -> int:
        self._opened.settimeout(0.2)
        count = 0
        while True:
            try:
                self._opened.accept()[0].close()
            except TimeoutError:
                return count
            count += 1


@pytest.fixture
def listening() -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield Listener(opened)


def program_with(path: Path, payload: object) -> None:
    """A program of torch.export whose example inputs are a pickle of ``payload``."""
    clean = io.BytesIO()
    batch = {0: torch.export.Dim("batch")}
    torch.export.save(torch.export.export(flowers(), (EXAMPLE,), dynamic_shapes=(batch,)), clean)
    with zipfile.ZipFile(clean) as given, zipfile.ZipFile(path, "w") as written:
        for name in given.namelist():
            content = given.read(name)
            if "sample_inputs" in name:
                content = pickle.dumps(payload)
            written.writestr(name, content)


def run(path: Path, tmp_path: Path, *more: str) -> int:
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\nd\ne\n")
    size = ("--size", str(SIDE), "--recipe", "imagenet", "--labels", str(labels))
    return main(["flowers", str(path), "--models", str(tmp_path / "models"), *size, *more])


@pytest.mark.slow
def test_a_program_that_writes_when_it_is_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = tmp_path / "mark"
    program_with(tmp_path / "evil.pt2", Writes(mark))
    assert run(tmp_path / "evil.pt2", tmp_path) == 1
    assert not mark.exists()
    assert "import: " in capsys.readouterr().err
    # So it is the sandbox that stops it, and no fault of the file.
    run(tmp_path / "evil.pt2", tmp_path, "--without-sandbox")
    assert mark.exists()


@pytest.mark.slow
def test_a_program_that_calls_out_when_it_is_opened(tmp_path: Path, listening: Listener) -> None:
    program_with(tmp_path / "evil.pt2", Calls(listening.port))
    assert run(tmp_path / "evil.pt2", tmp_path) == 1
    assert listening.calls() == 0
    run(tmp_path / "evil.pt2", tmp_path, "--without-sandbox")
    assert listening.calls() == 1


class Maps(torch.nn.Module):
    """TorchScript that writes to a file, by a tensor that is mapped to it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.network = flowers()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mapped = torch.from_file(self.path, shared=True, size=4, dtype=torch.uint8)
        mapped.fill_(120)
        found: torch.Tensor = self.network(images) + mapped.float().mean()
        return found


@pytest.mark.slow
def test_torchscript_that_writes_when_it_is_asked(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.write_bytes(b"kept")
    torch.jit.script(Maps(str(mark))).save(tmp_path / "evil.pt")
    assert run(tmp_path / "evil.pt", tmp_path) == 1
    assert mark.read_bytes() == b"kept"


def test_a_pickle_is_not_opened_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark = tmp_path / "mark"
    torch.save({"weights": Writes(mark)}, tmp_path / "evil.pt")
    assert run(tmp_path / "evil.pt", tmp_path, "--network", "a:b", "--without-sandbox") == 1
    assert not mark.exists()


def test_the_command_from_file_to_revision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.jit.script(flowers()).save(tmp_path / "flowers.pt")
    assert run(tmp_path / "flowers.pt", tmp_path) == 0
    out = capsys.readouterr().out
    assert "5 labels" in out
    assert "largest difference from the network itself" in out
    assert "vision serve flowers" in out
    folder = tmp_path / "models" / "flowers" / "1"
    names = {"model.json", "model.onnx", "golden.safetensors", "weights.safetensors"}
    assert {path.name for path in folder.iterdir()} == names
