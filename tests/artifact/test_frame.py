from __future__ import annotations

from typing import Any

import pytest

from artifact import ImageInput, InvalidCardError, Resize, Size, Whole, as_document
from artifact.fields import Fields

PHOTOGRAPHS: dict[str, Any] = {
    "name": "image",
    "height": 224,
    "width": 224,
    "mode": "RGB",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "layout": "NCHW",
    "dtype": "FP32",
    "frame": {"kind": "resize", "resize": {"short_side": 256}, "crop": [224, 224]},
}


def read(**changes: object) -> ImageInput:
    document = Fields({"input": {**PHOTOGRAPHS, **changes}}, "contract")
    found = document.read("input", ImageInput.read)
    document.refuse()
    return found


def frame(**changes: object) -> dict[str, object]:
    return {**PHOTOGRAPHS["frame"], **changes}


def test_a_frame_is_read_by_its_kind() -> None:
    assert read().frame == Resize(Size(short_side=256), crop=(224, 224))
    spec = read(frame={"kind": "whole"}, background="black")
    assert spec.frame == Whole()


def test_what_is_said_by_default_is_left_out() -> None:
    """One way of writing means one digest."""
    spec = read(
        frame=frame(interpolation="bilinear", antialias=True, crop_rounding="nearest"),
        scale=1 / 255,
        channel_order="RGB",
        polarity="auto",
    )
    assert as_document(spec) == PHOTOGRAPHS
    whole = read(frame={"kind": "whole"}, background="black")
    assert "frame" not in as_document(whole)


def test_what_is_written_is_read_again() -> None:
    changes: dict[str, object] = {
        "frame": {
            "kind": "resize",
            "resize": {"fit": [240, 240]},
            "crop": [224, 224],
            "crop_rounding": "down",
            "interpolation": "nearest",
            "antialias": False,
            "fill": [1, 2, 3],
        },
        "scale": 1.0,
        "channel_order": "BGR",
        "layout": "NHWC",
        "polarity": "none",
        "background": "white",
    }
    assert as_document(read(**changes)) == {**PHOTOGRAPHS, **changes}


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"frame": {"kind": "squash", "to": 9}}, "frame.kind", "is none of whole, resize"),
        ({"frame": {"resize": {"short_side": 9}}}, "frame.kind", "is missing"),
        ({"frame": frame(crop=[224])}, "frame.crop", "must have 2 entries"),
        ({"frame": frame(crop=[0, 224])}, r"frame.crop[0]", "at least 1"),
        ({"frame": frame(crop=[192, 192])}, "frame.crop", "192 × 192, but height × width is 224"),
        ({"frame": frame(resize={"exact": [9, 9]}, crop=[9, 9])}, "frame.crop", "9 × 9"),
        ({"frame": {"kind": "resize", "resize": {"short_side": 224}}}, "frame.crop", "missing"),
        ({"frame": {"kind": "resize", "resize": {"fit": [9, 9]}}}, "frame.resize", "9 × 9"),
        ({"frame": frame(resize={})}, "frame.resize", "one of short_side, exact, fit and cover"),
        (
            {"frame": frame(resize={"short_side": 9, "exact": [9, 9]})},
            "frame.resize",
            "one of short_side, exact, fit and cover",
        ),
        ({"frame": frame(interpolation="cubic")}, "frame.interpolation", "is none of nearest"),
        (
            {"frame": frame(interpolation="bicubic", antialias=False)},
            "frame.interpolation",
            "without antialias",
        ),
        ({"frame": frame(antialias=1)}, "frame.antialias", "must be true or false"),
        ({"frame": frame(fill=[1])}, "frame.fill", "3 entries"),
        ({"frame": frame(fill=[1, 2, 256])}, "frame.fill[2]", "at most 255"),
        ({"frame": frame(gap=1)}, "frame.gap", "is not a field"),
        ({"frame": {"kind": "whole"}}, "background", "a whole frame needs it"),
        ({"mode": "L", "mean": [0], "std": [1]}, "background", "polarity auto needs it"),
        ({"scale": 0}, "scale", "greater than 0"),
        ({"channel_order": "RBG"}, "channel_order", "none of RGB, BGR"),
        (
            {"mode": "L", "mean": [0], "std": [1], "polarity": "none", "channel_order": "BGR"},
            "channel_order",
            "colour",
        ),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(InvalidCardError) as caught:
        read(**changes)
    (fault,) = caught.value.faults
    assert fault.field == f"contract.input.{field}"
    assert reason in fault.reason


@pytest.mark.parametrize(
    ("size", "picture", "expected"),
    [
        (Size(short_side=256), (480, 641), (256, 341)),
        (Size(short_side=256), (641, 480), (341, 256)),
        (Size(short_side=256), (100, 100), (256, 256)),
        (Size(exact=(10, 20)), (7, 3), (10, 20)),
        (Size(fit=(100, 100)), (300, 200), (100, 67)),
        (Size(fit=(100, 100)), (1, 1000), (1, 100)),
        (Size(cover=(100, 200)), (300, 300), (200, 200)),
    ],
)
def test_sizes(size: Size, picture: tuple[int, int], expected: tuple[int, int]) -> None:
    assert size.of(*picture) == expected


def test_the_axes_of_a_tensor_are_in_the_order_of_its_layout() -> None:
    assert read().shape == (3, 224, 224)
    assert read(layout="NHWC", height=10, width=20, frame=frame(crop=[10, 20])).shape == (10, 20, 3)
