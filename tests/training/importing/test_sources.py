"""Every kind of source gives the network's own answers, or says why it cannot be served."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from safetensors.numpy import load_file
from safetensors.torch import save_file

from artifact import Contract, as_document, open_revision
from artifact.card import read_contract
from artifact.fields import Fields
from predictor.engines.onnx_runtime import OnnxSession
from registry.mlflow_folder import write_folder
from tests.conftest import ROOT, SHIPPED
from tests.training.importing.conftest import LABELS, SIDE, Flowers, Importer, flowers
from training.baseline import ENOUGH
from training.importing.archive import EXPORTED, PICKLED, TORCHSCRIPT, kind_of
from training.importing.errors import ImportRefusedError
from training.importing.publish import write
from training.importing.source import GROUP
from training.importing.sources.onnx_file import read_listed

# Each exports a network; the warnings are of PyTorch's exporters, about themselves.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class NamedOutputs(Flowers):
    """The scores behind something else."""

    def __init__(self) -> None:
        super().__init__()
        self.load_state_dict(flowers().state_dict())

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        found = super().forward(images)
        return {"aux": found * 2, "scores": found}


NETWORK = "tests.training.importing.conftest:flowers"
EXAMPLE = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
BATCH = {0: torch.export.Dim("batch")}


def expected(network: torch.nn.Module, batch: NDArray[Any]) -> NDArray[Any]:
    with torch.inference_mode():
        found: NDArray[Any] = torch.softmax(network(torch.from_numpy(batch)), 1).numpy()
    return found


def contract_of(report: dict[str, Any]) -> Contract:
    contract = Fields(report).read("contract", read_contract)
    assert contract is not None
    return contract


def check(report: dict[str, Any], out: Path, network: torch.nn.Module | None = None) -> None:
    """See that the program answers as the network does, whatever the batch, on golden inputs."""
    network = network or flowers()
    session = OnnxSession((out / "model.onnx").read_bytes(), contract_of(report))
    golden = load_file(out / "golden.safetensors")
    batch = golden["input"]
    assert np.abs(golden["output"] - expected(network, batch)).max() < 1e-5
    for size in (1, len(batch)):
        (found,) = session.run(batch[:size])
        assert np.abs(found - expected(network, batch[:size])).max() < 1e-5
    assert np.ptp(golden["output"]) > 0.05


def exported(path: Path, example: torch.Tensor = EXAMPLE, dynamic: bool = True) -> Path:
    shapes = (BATCH,) if dynamic else None
    program = torch.export.export(flowers(), (example,), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


def as_onnx(path: Path, network: torch.nn.Module | None = None, **changes: Any) -> Path:
    given: dict[str, Any] = {"dynamic_shapes": (BATCH,), "input_names": ["pixels"], **changes}
    program = torch.onnx.export(
        network or flowers(),
        (EXAMPLE,),
        dynamo=True,
        output_names=["scores"],
        verbose=False,
        **given,
    )
    assert program is not None
    onnx.save(program.model_proto, path)
    return path


def traced(path: Path) -> Path:
    torch.jit.trace(flowers(), EXAMPLE).save(path)
    return path


def scripted(path: Path) -> Path:
    torch.jit.script(flowers()).save(path)
    return path


def wrapped(path: Path) -> Path:
    tensors = {f"module.{k}": v for k, v in flowers().state_dict().items()}
    torch.save({"epoch": 3, "state_dict": tensors}, path)
    return path


def safe(path: Path) -> Path:
    save_file(flowers().state_dict(), path)
    return path


def plain(path: Path) -> Path:
    torch.save(flowers().state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("file", "make", "kind"),
    [
        ("weights.pt", plain, "state-dict"),
        ("wrapped.pth", wrapped, "state-dict"),
        ("weights.safetensors", safe, "state-dict"),
        ("program.pt2", exported, "torch.export"),
        ("traced.pt", traced, "torchscript"),
        ("scripted.pt", scripted, "torchscript"),
        ("model.onnx", as_onnx, "onnx"),
    ],
)
def test_a_source_answers_as_its_network(
    file: str, make: Callable[[Path], Path], kind: str, tmp_path: Path, importer: Importer
) -> None:
    report = importer(make(tmp_path / file), network=NETWORK)
    check(report, tmp_path / "out")
    assert report["source"]["kind"] == kind
    assert report["source"]["file"] == file
    assert report["contract"]["labels"] == list(LABELS)
    assert (tmp_path / "out" / "weights.safetensors").exists() == (kind != "onnx")


def test_archives_are_told_apart_by_their_names(tmp_path: Path) -> None:
    assert kind_of(plain(tmp_path / "a")) == PICKLED
    assert kind_of(exported(tmp_path / "b.pt2")) == EXPORTED
    assert kind_of(scripted(tmp_path / "c")) == TORCHSCRIPT
    assert kind_of(as_onnx(tmp_path / "d")) is None
    assert kind_of(tmp_path) is None


def test_a_program_whose_outputs_have_names(tmp_path: Path, importer: Importer) -> None:
    program = torch.export.export(NamedOutputs().eval(), (EXAMPLE,), dynamic_shapes=(BATCH,))
    torch.export.save(program, tmp_path / "named.pt2")
    with pytest.raises(ImportRefusedError, match=r"several outputs: aux .*--output NAME"):
        importer(tmp_path / "named.pt2")
    check(importer(tmp_path / "named.pt2", output="scores"), tmp_path / "out")


def test_many_pictures_make_a_baseline(tmp_path: Path, importer: Importer) -> None:
    source = exported(tmp_path / "a.pt2")
    sample = str(ROOT / "samples" / "shirt.png")
    assert "baseline" not in importer(source, samples=(sample,) * (ENOUGH - 1))
    report = importer(source, samples=(sample,) * ENOUGH)
    found = report["baseline"]
    assert found["pictures"] == ENOUGH
    assert all(sum(counts) == ENOUGH for counts in found["histograms"].values())
    assert sum(found["labels"]) == ENOUGH
    written = write(tmp_path / "models", "flowers", "1", tmp_path / "out", report)
    assert as_document(written.card.baseline) == found


def test_a_program_for_one_picture(tmp_path: Path, importer: Importer) -> None:
    path = exported(tmp_path / "one.pt2", EXAMPLE[:1], dynamic=False)
    with pytest.raises(ImportRefusedError, match=r"one picture at a time.*Dim\('batch'\)"):
        importer(path)


def test_a_program_in_training_mode(tmp_path: Path, importer: Importer) -> None:
    program = torch.export.export(flowers().train(), (EXAMPLE,), dynamic_shapes=(BATCH,))
    torch.export.save(program, tmp_path / "train.pt2")
    with pytest.raises(ImportRefusedError, match=r"model.eval\(\) before you export"):
        importer(tmp_path / "train.pt2")


def test_a_program_in_half_precision(tmp_path: Path, importer: Importer) -> None:
    example = EXAMPLE.bfloat16()
    program = torch.export.export(flowers().bfloat16(), (example,), dynamic_shapes=(BATCH,))
    torch.export.save(program, tmp_path / "half.pt2")
    with pytest.raises(ImportRefusedError, match=r"bfloat16.*model.float\(\)"):
        importer(tmp_path / "half.pt2")


def test_a_program_of_something_else(tmp_path: Path, importer: Importer) -> None:
    program = torch.export.export(torch.nn.Linear(4, 2), (torch.randn(2, 4),))
    torch.export.save(program, tmp_path / "other.pt2")
    with pytest.raises(ImportRefusedError, match="one batch of pictures"):
        importer(tmp_path / "other.pt2")


def test_onnx_that_says_one_picture_but_computes_more(tmp_path: Path, importer: Importer) -> None:
    model = onnx.load(as_onnx(tmp_path / "model.onnx"))
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tmp_path / "model.onnx")
    check(importer(tmp_path / "model.onnx"), tmp_path / "out")


def test_onnx_for_one_picture(tmp_path: Path, importer: Importer) -> None:
    class One(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.reshape(1, -1)[:, :3]

    program = torch.onnx.export(One(), (EXAMPLE[:1],), dynamo=True, verbose=False)
    assert program is not None
    onnx.save(program.model_proto, tmp_path / "one.onnx")
    with pytest.raises(ImportRefusedError, match=r"one picture at a time.*dynamic_axes"):
        importer(tmp_path / "one.onnx", labels=("r", "g", "b"))


def test_onnx_with_probabilities_gets_no_second_softmax(tmp_path: Path, importer: Importer) -> None:
    network = torch.nn.Sequential(flowers(), torch.nn.Softmax(1)).eval()
    report = importer(as_onnx(tmp_path / "model.onnx", network))
    check(report, tmp_path / "out")


def test_onnx_with_one_output_is_yes_or_no(tmp_path: Path, importer: Importer) -> None:
    report = importer(as_onnx(tmp_path / "model.onnx", flowers(1)), labels=("no", "yes"))
    golden = load_file(tmp_path / "out" / "golden.safetensors")
    with torch.inference_mode():
        yes = torch.sigmoid(flowers(1)(torch.from_numpy(golden["input"]))).numpy()
    assert np.abs(golden["output"] - np.concatenate([1 - yes, yes], 1)).max() < 1e-6
    assert report["difference"] < 1e-6


def test_onnx_that_takes_half_precision(tmp_path: Path, importer: Importer) -> None:
    network = flowers()

    class Half(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.network(images.float()).half()
            return found

    program = torch.onnx.export(
        Half().eval(), (EXAMPLE.half(),), dynamo=True, dynamic_shapes=(BATCH,), verbose=False
    )
    assert program is not None
    onnx.save(program.model_proto, tmp_path / "half.onnx")
    report = importer(tmp_path / "half.onnx", tolerance=1e-2)
    assert report["difference"] < 1e-2


def test_onnx_with_channels_last(tmp_path: Path, importer: Importer) -> None:
    network = flowers()

    class Last(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.network(images.permute(0, 3, 1, 2))
            return found

    program = torch.onnx.export(
        Last().eval(),
        (EXAMPLE.permute(0, 2, 3, 1).contiguous(),),
        dynamo=True,
        dynamic_shapes=(BATCH,),
        verbose=False,
    )
    assert program is not None
    onnx.save(program.model_proto, tmp_path / "last.onnx")
    report = importer(tmp_path / "last.onnx")
    assert report["contract"]["input"]["layout"] == "NHWC"
    assert report["difference"] < 1e-6


def test_onnx_labels_from_its_metadata(tmp_path: Path, importer: Importer) -> None:
    model = onnx.load(as_onnx(tmp_path / "model.onnx"))
    helper.set_model_props(model, {"names": str(dict(enumerate(LABELS)))})
    onnx.save(model, tmp_path / "model.onnx")
    report = importer(tmp_path / "model.onnx", labels=())
    assert report["contract"]["labels"] == list(LABELS)


@pytest.mark.parametrize("text", ['["a", "b"]', "{0: 'a', 1: 'b'}", '{"1": "b", "0": "a"}', "a\nb"])
def test_labels_as_exporters_write_them(text: str) -> None:
    assert read_listed(text) == ("a", "b")


def test_onnx_whose_weights_lie_beside_it(tmp_path: Path, importer: Importer) -> None:
    model = onnx.load(as_onnx(tmp_path / "inner.onnx"))
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, size_threshold=0)
    assert len(list(tmp_path.glob("*.onnx"))) == 2
    check(importer(tmp_path / "model.onnx"), tmp_path / "out")
    served = onnx.load(tmp_path / "out" / "model.onnx", load_external_data=False)
    assert not any(t.data_location == TensorProto.EXTERNAL for t in served.graph.initializer)


@pytest.mark.parametrize("location", ["../secret", "/proc/self/environ"])
def test_onnx_that_points_outside_its_folder(
    location: str, tmp_path: Path, importer: Importer
) -> None:
    model = onnx.load(as_onnx(tmp_path / "model.onnx"))
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, location)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    (tmp_path.parent / "secret").write_bytes(b"x" * 4096)
    with pytest.raises(ImportRefusedError, match="no ONNX program"):
        importer(tmp_path / "model.onnx")


@pytest.mark.parametrize("content", [b"", b"no program"])
def test_onnx_that_is_none(content: bytes, tmp_path: Path, importer: Importer) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ImportRefusedError, match=r"model\.onnx"):
        importer(tmp_path / "model.onnx")


def mlflow(folder: Path, flavours: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "MLmodel").write_text(json.dumps({"flavors": flavours, "run_id": "abc"}))
    return folder


def test_mlflow_with_a_program(tmp_path: Path, importer: Importer) -> None:
    folder = mlflow(tmp_path / "model", {"pytorch": {"model_data": "data"}, "python_function": {}})
    (folder / "data").mkdir()
    exported(folder / "data" / "model.pt2")
    report = importer(folder)
    check(report, tmp_path / "out")
    assert report["source"]["run"] == "abc"


def test_mlflow_with_onnx(tmp_path: Path, importer: Importer) -> None:
    folder = mlflow(tmp_path / "model", {"onnx": {"data": "model.onnx"}})
    as_onnx(folder / "model.onnx")
    check(importer(folder), tmp_path / "out")


def test_mlflow_with_a_card_of_ours(tmp_path: Path, importer: Importer) -> None:
    shipped = open_revision(SHIPPED, "fashion-mnist", "2")
    report = importer(write_folder(shipped, tmp_path / "model"), labels=(), recipe={})
    contract = shipped.card.contract
    assert report["contract"]["labels"] == list(contract.labels)
    found = contract_of(report).input
    assert found == replace(contract.input, name=found.name)


def test_mlflow_with_a_pickle(tmp_path: Path, importer: Importer) -> None:
    folder = mlflow(tmp_path / "model", {"pytorch": {"model_data": "data"}})
    (folder / "data").mkdir()
    torch.save(flowers(), folder / "data" / "model.pth")
    with pytest.raises(ImportRefusedError, match="serialization_format='pt2'"):
        importer(folder)


@pytest.mark.parametrize(
    ("flavours", "message"),
    [({"sklearn": {}}, "onnx, transformers"), ({"onnx": {"data": "../../x"}}, "points outside")],
)
def test_mlflow_with_something_else(
    flavours: dict[str, Any], message: str, tmp_path: Path, importer: Importer
) -> None:
    with pytest.raises(ImportRefusedError, match=message):
        importer(mlflow(tmp_path / "model", flavours))


def test_a_source_of_ones_own_by_an_entry_point(
    tmp_path: Path, importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    (site / "mine-1.dist-info").mkdir(parents=True)
    (site / "mine-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: mine\nVersion: 1\n"
    )
    (site / "mine-1.dist-info" / "entry_points.txt").write_text(f"[{GROUP}]\nmine = mine:SOURCE\n")
    (site / "mine.py").write_text(
        "from training.importing.errors import ImportRefusedError\n"
        "class Mine:\n"
        "    def recognises(self, request): return request.source.endswith('.mine')\n"
        "    def open(self, request): raise ImportRefusedError('opened by mine')\n"
        "SOURCE = Mine()\n"
    )
    monkeypatch.syspath_prepend(site)
    with pytest.raises(ImportRefusedError, match="opened by mine"):
        importer("network.mine")


def test_something_of_no_kind(tmp_path: Path, importer: Importer) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ImportRefusedError, match=r"is none of: a state dict .* ONNX file"):
        importer(tmp_path / "notes.txt")
