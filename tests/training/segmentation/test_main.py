from __future__ import annotations

from pathlib import Path

import pytest

import training.__main__ as entry
from artifact import SegmentationContract, SegmentationMetrics, open_revision
from predictor.loading import load_revision
from training.segmentation.settings import SegmentationSettings
from training.segmentation.task import SegmentationTask
from training.settings import read_preset

SMALL = (
    "--arguments={channels: 3, classes: 6, patch: 2, widths: [8, 8], encoders: [0, 1],"
    " decoders: [0]}"
)

PRESETS = sorted(path.stem for path in SegmentationTask.presets.glob("*.yaml"))


def test_a_dry_run_is_one_batch_of_everything(tmp_path: Path, data: Path) -> None:
    places = [f"--models={tmp_path / 'models'}", f"--runs={tmp_path / 'runs'}", f"--data={data}"]
    options = ["--preset=land-cover", SMALL, "--threads=1", "--crop=64", "--dry-run"]
    assert entry.main([*places, *options]) == 0
    assert not (tmp_path / "models").exists()
    root = tmp_path / "runs" / "dry-run" / "models"
    card = open_revision(root, "land-cover", "1").card
    assert isinstance(card.contract, SegmentationContract)
    assert isinstance(card.metrics, SegmentationMetrics)
    assert set(card.metrics.test.ious) == set(card.contract.labels) - {"unlabelled"}
    assert load_revision(root, "land-cover", "1").card == card


def test_the_preset_has_a_task() -> None:
    options = entry.parse(["--preset=land-cover", "--epochs=3"])
    assert options.task == "segmentation"
    settings = entry.settings_from(options)
    assert (settings.model, settings.epochs, settings.architecture) == ("land-cover", 3, "u-net")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_loads_and_names_others_that_exist(name: str) -> None:
    settings = SegmentationSettings(
        **read_preset(name, SegmentationSettings, SegmentationTask.presets)
    )
    assert settings.start in ("", *PRESETS)
    assert settings.start_seed < 0 or settings.start


def test_there_is_no_parent_to_start_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["--preset=land-cover", "--parent=land-cover/1", "--revision=9"]) == 1
    assert "parent: a segmenter is trained from scratch only" in capsys.readouterr().err


def test_what_is_gone_on_from_must_be_there(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [f"--models={tmp_path / 'models'}", f"--runs={tmp_path / 'runs'}", f"--data={data}"]
    assert entry.main([*places, "--preset=land-cover", "--start=other", "--threads=1"]) == 1
    assert "first: --preset other --seeds 0 --only-fit" in capsys.readouterr().err
