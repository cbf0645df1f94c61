from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import transformer.__main__ as entry
from tests.conftest import ROOT, SHIPPED
from tests.needs import missing
from transformer.classification.classifier import ClassificationModel
from transformer.hop import ClientSettings, PredictorClient

ENVIRONMENT = ROOT / ".venv" / "transformer" / "bin" / "python"

SCRIPT = """
import importlib.metadata
import json
import sys

sys.argv = ["transformer", "--model=mnist", "--predictor_host=127.0.0.1:1"]
import transformer.__main__
from artifact import ImageInput
from tests.transformer.images import encode, seven
from tests.transformer.decode import decode_image
from transformer.image import ImageLimits
from transformer.pictures.preprocess import prepare

spec = ImageInput("image", 28, 28, "L", (0.1,), (0.3,), "NCHW", "FP32", "black")
image = decode_image(encode(seven(60, 40)), ImageLimits(1 << 20, 1 << 20))
shape = prepare(image, spec).tensor.shape
imported = {name.partition(".")[0] for name in sys.modules}
installed = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
print(json.dumps({
    "shape": shape,
    "imported": sorted(imported & {"torch", "torchvision", "training", "predictor"}),
    "installed": sorted(installed & {"torch", "torchvision"}),
    "pillow": "pillow" in installed,
}))
"""


def report(python: Path) -> dict[str, Any]:
    done = subprocess.run(
        [python, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_transformer_imports_no_torch_where_there_is_one() -> None:
    found = report(Path(sys.executable))
    assert "torch" in found["installed"]
    assert found["imported"] == []
    assert found["shape"] == [1, 28, 28]


def test_the_transformers_own_environment_has_no_torch() -> None:
    if not ENVIRONMENT.exists():
        missing("environments", f"{ENVIRONMENT} is not there: `make run` builds it")
    found = report(ENVIRONMENT)
    assert found["installed"] == []
    assert found["imported"] == []
    assert found["pillow"]
    assert found["shape"] == [1, 28, 28]


class FakeServer:
    """Remembers what it was started with, in place of the real one."""

    started: tuple[Any, list[ClassificationModel]] | None = None
    options: Any = None
    also_ready: Any = None

    def __init__(self, settings: Any, options: Any, also_ready: Any, service: str) -> None:
        assert service == "vision-transformer"
        self.settings = settings
        FakeServer.options, FakeServer.also_ready = options, also_ready

    def start(self, models: list[ClassificationModel]) -> None:
        FakeServer.started = (self.settings, models)


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch, small_root: Path) -> list[ClientSettings]:
    found: list[ClientSettings] = []
    monkeypatch.setattr(entry, "VisionServer", FakeServer)
    monkeypatch.setattr(entry, "configure_logs", lambda settings, options: None)

    def hop(settings: ClientSettings) -> PredictorClient:
        found.append(settings)
        return PredictorClient(settings)

    monkeypatch.setattr(entry, "PredictorClient", hop)
    monkeypatch.setenv("VISION_MODEL_ROOT", str(small_root))
    for name in (
        "VISION_HOST",
        "VISION_PREDICTOR_ATTEMPTS",
        "VISION_MAX_IMAGE_BYTES",
        "VISION_LOG_LEVEL",
    ):
        monkeypatch.delenv(name, raising=False)
    FakeServer.started = None
    return found


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["transformer", *arguments])
    return entry.main()


def test_by_default_it_fronts_every_model(
    hops: list[ClientSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "--predictor_host=vision-predictor.default") == 0
    assert FakeServer.started is not None
    assert [model.name for model in FakeServer.started[1]] == ["fashion-mnist", "mnist"]
    assert FakeServer.options.enable_grpc is False
    assert FakeServer.also_ready is None
    (hop,) = hops
    assert hop.target == "vision-predictor.default:80"
    assert (hop.timeout_seconds, hop.attempts, hop.use_ssl) == (20.0, 3, False)


def test_a_folder_says_what_it_fronts(
    hops: list[ClientSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--predictor_host=h", f"--model={SHIPPED / 'mnist' / '1'}", "--model_name=digits"]
    assert run(monkeypatch, *arguments) == 0
    assert FakeServer.started is not None
    assert [model.name for model in FakeServer.started[1]] == ["digits"]
    assert run(monkeypatch, "--predictor_host=h", f"--model={SHIPPED}", "--model_name=all") == 0
    names = [model.name for model in FakeServer.started[1]]
    assert names == ["fashion-mnist", "land-cover", "mnist"]


def test_an_address_that_is_none_is_refused_at_start(
    hops: list[ClientSettings],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, "--predictor_host=http://predictor") == 2
    assert "'http://predictor' is not host:port" in capsys.readouterr().err
    assert FakeServer.started is None


def test_arguments_and_environment_reach_the_hop(
    hops: list[ClientSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISION_PREDICTOR_ATTEMPTS", "2")
    monkeypatch.setenv("VISION_PREDICTOR_TIMEOUT_SECONDS", "1.5")
    arguments = ["--predictor_host=127.0.0.1:9", "--model=mnist", "--model_name=vision"]
    assert run(monkeypatch, *arguments) == 0
    assert FakeServer.started is not None
    assert [model.name for model in FakeServer.started[1]] == ["mnist"]
    assert (hops[0].target, hops[0].timeout_seconds, hops[0].attempts) == ("127.0.0.1:9", 1.5, 2)


def test_kserves_arguments_for_the_hop_go_before_the_environment(
    hops: list[ClientSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISION_PREDICTOR_TIMEOUT_SECONDS", "1.5")
    arguments = [
        *("--predictor_host=h", "--predictor_request_timeout_seconds=7"),
        *("--predictor_request_retries=0", "--predictor_use_ssl=true"),
        *("--predictor_protocol=v2", "--enable_predictor_health_check"),
    ]
    assert run(monkeypatch, *arguments) == 0
    assert (hops[0].timeout_seconds, hops[0].attempts, hops[0].use_ssl) == (7.0, 1, True)
    assert FakeServer.also_ready.__name__ == "is_ready"


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "expected"),
    [
        ([], {}, 2, "--predictor_host"),
        (["--predictor_host=h", "--model=mnist", "--model=mnist=2"], {}, 2, "--model=mnist"),
        (["--predictor_host=h"], {"VISION_MAX_IMAGE_BYTES": "many"}, 2, "VISION_MAX_IMAGE_BYTES"),
        (
            ["--predictor_host=h"],
            {"VISION_PREDICTOR_ATTEMPTS": "9"},
            2,
            "VISION_PREDICTOR_ATTEMPTS",
        ),
        (
            ["--predictor_host=h", "--predictor_request_retries=9"],
            {},
            2,
            "predictor_request_retries",
        ),
        (["--predictor_host=h", "--workers=4"], {}, 2, "--workers=4 is refused"),
        (["--predictor_host=h", "--predictor_protocol=v1"], {}, 2, "--predictor_protocol=v1"),
        (["--predictor_host=h", "--model=nope"], {}, 1, "nope"),
        (["--predictor_host=h", "--model=mnist=9"], {}, 1, "mnist"),
    ],
)
def test_a_wrong_start_is_refused_with_a_plain_message(
    arguments: list[str],
    environment: dict[str, str],
    code: int,
    expected: str,
    hops: list[ClientSettings],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run(monkeypatch, *arguments) == code
    shown = capsys.readouterr().err + caplog.text
    assert expected in shown
    assert "Traceback" not in shown
    assert FakeServer.started is None
