"""Against the preprocessing of torchvision, timm and Hugging Face, on photographs of all shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import timm.data
from numpy.typing import NDArray
from PIL import Image
from skimage import data as pictures
from transformers import (
    CLIPImageProcessor,
    CLIPImageProcessorPil,
    ViTImageProcessor,
    ViTImageProcessorPil,
)

from artifact import Frame, ImageInput, Resize, Size
from transformer.pictures.preprocess import prepare
from transformer.tensors import to_pixels

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SHAPES = [(640, 427), (333, 1000), (224, 224), (161, 90), (257, 256), (301, 299)]
"""Widths and heights: larger and smaller than what is wanted, odd and even remainders."""


def spec(
    frame: Frame, size: tuple[int, int], numbers: tuple[Any, Any] = IMAGENET, **changes: Any
) -> ImageInput:
    return ImageInput("image", *size, "RGB", *numbers, "NCHW", "FP32", frame=frame, **changes)


@pytest.fixture(params=SHAPES, ids=str)
def picture(request: pytest.FixtureRequest) -> Image.Image:
    photograph = Image.fromarray(pictures.astronaut())
    return photograph.resize(request.param, Image.Resampling.LANCZOS)


def levels_apart(found: NDArray[np.float32], expected: Any, described: ImageInput) -> float:
    """Largest difference in pixels' levels."""
    std = np.array(described.std)[:, None, None]
    assert found.shape == tuple(expected.shape)
    assert found.dtype == np.float32
    difference = np.abs(found.astype(np.float64) - np.asarray(expected, np.float64)) * std
    return float(difference.max()) / described.scale


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest", "lanczos", "box"])
@pytest.mark.parametrize(("short", "crop"), [(256, 224), (232, 224), (40, 33)])
def test_torchvision_to_the_last_bit(
    picture: Image.Image, interpolation: str, short: int, crop: int
) -> None:
    from torchvision.models import ResNet50_Weights
    from torchvision.transforms import InterpolationMode

    theirs = ResNet50_Weights.IMAGENET1K_V2.transforms(
        resize_size=short, crop_size=crop, interpolation=InterpolationMode(interpolation)
    )
    frame = Resize(Size(short_side=short), crop=(crop, crop), interpolation=interpolation)
    found = prepare(picture, spec(frame, (crop, crop))).tensor
    assert found.tobytes() == theirs(picture).numpy().tobytes()


@pytest.mark.parametrize("wanted", [(300, 300), (401, 300), (300, 401)])
def test_torchvision_where_the_picture_is_smaller_than_the_cut_out(wanted: tuple[int, int]) -> None:
    from torchvision.transforms import v2

    picture = Image.fromarray(pictures.astronaut()).resize((355, 222))
    theirs = v2.Compose([v2.Resize(231), v2.CenterCrop(wanted), v2.PILToTensor()])
    frame = Resize(Size(short_side=231), crop=wanted)
    plain = spec(frame, wanted, ((0, 0, 0), (1, 1, 1)), scale=1.0)
    assert np.array_equal(prepare(picture, plain).tensor, theirs(picture).numpy())


TIMM: list[tuple[str, tuple[int, int], float, Size]] = [
    ("center", (224, 224), 0.875, Size(short_side=256)),
    ("center", (224, 224), 0.95, Size(short_side=235)),
    ("center", (192, 224), 0.9, Size(cover=(213, 248))),
    ("squash", (224, 224), 1.0, Size(exact=(224, 224))),
    ("squash", (224, 160), 0.9, Size(exact=(248, 177))),
    ("border", (224, 224), 1.0, Size(fit=(224, 224))),
    ("border", (224, 224), 0.9, Size(fit=(248, 248))),
]


@pytest.mark.parametrize(("mode", "wanted", "share", "size"), TIMM, ids=str)
def test_timm_to_a_rounding(
    picture: Image.Image, mode: str, wanted: tuple[int, int], share: float, size: Size
) -> None:
    theirs = timm.data.create_transform(
        input_size=(3, *wanted), interpolation="bicubic", crop_pct=share, crop_mode=mode
    )
    fill = tuple(round(255 * v) for v in IMAGENET[0])
    described = spec(Resize(size, crop=wanted, interpolation="bicubic", fill=fill), wanted)
    found = prepare(picture, described).tensor
    assert levels_apart(found, theirs(picture), described) < 1e-3


HUGGING_FACE: list[tuple[Any, dict[str, Any], ImageInput]] = [
    (
        CLIPImageProcessorPil,
        {"size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}},
        spec(
            Resize(Size(short_side=224), (224, 224), "down", "bicubic"),
            (224, 224),
            ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
        ),
    ),
    (
        ViTImageProcessorPil,
        {"size": {"height": 224, "width": 192}},
        spec(Resize(Size(exact=(224, 192))), (224, 192), HALF),
    ),
    (
        ViTImageProcessorPil,
        {"size": {"height": 32, "width": 32}, "do_normalize": False, "rescale_factor": 1 / 127},
        spec(Resize(Size(exact=(32, 32))), (32, 32), ((0, 0, 0), (1, 1, 1)), scale=1 / 127),
    ),
]


@pytest.mark.parametrize(("processor", "arguments", "described"), HUGGING_FACE)
def test_hugging_face_on_pillow(
    picture: Image.Image, processor: Any, arguments: dict[str, Any], described: ImageInput
) -> None:
    theirs = processor(**arguments)(picture, return_tensors="np")["pixel_values"][0]
    assert levels_apart(prepare(picture, described).tensor, theirs, described) < 1e-3


@pytest.mark.parametrize(
    ("processor", "case"), [(CLIPImageProcessor, 0), (ViTImageProcessor, 1), (ViTImageProcessor, 2)]
)
def test_hugging_face_on_tensors_to_a_rounding(
    picture: Image.Image, processor: Any, case: int
) -> None:
    """Torch filters bytes in another fixed-point arithmetic than Pillow: a level for bilinear,
    and for bicubic two in a few pixels."""
    _, arguments, described = HUGGING_FACE[case]
    theirs = processor(**arguments)(picture, return_tensors="np")["pixel_values"][0]
    found = prepare(picture, described).tensor
    bicubic = described.frame == HUGGING_FACE[0][2].frame
    assert levels_apart(found, theirs, described) < (2.001 if bicubic else 1.001)
    std = np.array(described.std)[:, None, None]
    levels = np.abs(found - theirs) * std / described.scale
    assert (levels > 1.001).mean() < 1e-4


@pytest.mark.parametrize("size", [(224, 224), (100, 300)])
def test_without_antialias_as_torch_interpolates(
    picture: Image.Image, size: tuple[int, int]
) -> None:
    from torchvision.transforms.v2 import functional

    frame = Resize(Size(exact=size), antialias=False)
    described = spec(frame, size, ((0, 0, 0), (1, 1, 1)), scale=1.0)
    theirs = functional.resize(functional.pil_to_tensor(picture), list(size), antialias=False)
    assert levels_apart(prepare(picture, described).tensor, theirs, described) <= 1.0


def test_channels_and_layout(picture: Image.Image) -> None:
    frame = Resize(Size(short_side=40), crop=(40, 40))
    numbers = ((1.0, 2.0, 3.0), (1.0, 1.0, 1.0))
    plain = prepare(picture, spec(frame, (40, 40), numbers, scale=1.0)).tensor
    other = spec(frame, (40, 40), numbers, scale=1.0, channel_order="BGR")
    means = np.array(numbers[0], np.float32)[:, None, None]
    expected = (plain + means)[::-1] - means
    assert np.array_equal(prepare(picture, other).tensor, expected)
    last = ImageInput("image", 40, 40, "RGB", *numbers, "NHWC", "FP32", frame=frame, scale=1.0)
    assert np.array_equal(prepare(picture, last).tensor, plain.transpose(1, 2, 0))
    assert prepare(picture, last).tensor.flags.c_contiguous
    shown = [
        to_pixels(prepare(picture, described).planes[np.newaxis], described)
        for described in (spec(frame, (40, 40), numbers, scale=1.0), other, last)
    ]
    assert shown[0].shape == (1, 40, 40, 3)
    assert all(np.array_equal(pixels, shown[0]) for pixels in shown)


def test_grey_networks_may_leave_intensities_alone() -> None:
    paper = np.full((28, 28), 200, np.uint8)
    paper[10:18, 10:18] = 50
    frame = Resize(Size(exact=(28, 28)))
    alone = ImageInput(
        "image", 28, 28, "L", (0,), (1,), "NCHW", "FP32", frame=frame, scale=1, polarity="none"
    )
    found = prepare(Image.fromarray(paper), alone)
    assert found.polarity is None
    assert np.array_equal(found.tensor[0], paper)


def test_a_photograph_of_many_pixels_is_not_averaged_first() -> None:
    from torchvision.models import ResNet50_Weights

    large = Image.fromarray(pictures.astronaut()).resize((3000, 2000), Image.Resampling.BICUBIC)
    frame = Resize(Size(short_side=232), crop=(224, 224))
    theirs = ResNet50_Weights.IMAGENET1K_V2.transforms()(large)
    assert prepare(large, spec(frame, (224, 224))).tensor.tobytes() == theirs.numpy().tobytes()
