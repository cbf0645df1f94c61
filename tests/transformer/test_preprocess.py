from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

import training.torchvision_ops  # noqa: F401  (before torchvision)
from artifact import ImageInput
from serving.pixels import normalised
from tests.conftest import make_contract
from tests.transformer.decode import decode_image
from tests.transformer.images import encode, noise, seven
from transformer.image import ImageLimits
from transformer.pictures.polarity import Polarity
from transformer.pictures.preprocess import prepare
from transformer.tensors import to_planes

SPEC = make_contract().input
WHITE = make_contract(background="white").input
COLOUR = make_contract(mode="RGB", mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.3)).input
LIMITS = ImageLimits(1 << 24, 1 << 24)
LIGHT, DARK = Polarity.LIGHT_ON_DARK, Polarity.DARK_ON_LIGHT
CONSTANTS = {"MNIST": (0.1307, 0.3081), "FashionMNIST": (0.2860, 0.3530)}


def reference(image: Image.Image, spec: ImageInput) -> NDArray[np.float32]:
    from torchvision import transforms

    steps = [transforms.ToTensor(), transforms.Normalize(spec.mean, spec.std)]
    tensor: torch.Tensor = transforms.Compose(steps)(image)
    return tensor.numpy()


def same_bits(found: NDArray[np.float32], expected: NDArray[np.float32]) -> bool:
    return (
        found.shape == expected.shape
        and found.dtype == expected.dtype == np.float32
        and found.tobytes() == expected.tobytes()
    )


def pixels_of(tensor: NDArray[np.float32], spec: ImageInput = SPEC) -> NDArray[np.float64]:
    """The intensities (0 to 255) that gave a tensor."""
    mean, std = (np.array(v)[:, None, None] for v in (spec.mean, spec.std))
    found: NDArray[np.float64] = (tensor * std + mean) * 255
    return found


def test_random_pictures_equal_torchvision_to_the_last_bit(random: np.random.Generator) -> None:
    for _ in range(50):
        image = Image.fromarray(noise(random, 28, 28))
        assert same_bits(prepare(image, SPEC, LIGHT).tensor, reference(image, SPEC))
        image = Image.fromarray(noise(random, 28, 28, 3))
        assert same_bits(prepare(image, COLOUR).tensor, reference(image, COLOUR))


@pytest.mark.parametrize("name", CONSTANTS)
def test_every_intensity_equals_torchvision(name: str) -> None:
    mean, std = CONSTANTS[name]
    spec = make_contract(mean=(mean,), std=(std,)).input
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert same_bits(
        normalised(to_planes(values, spec), spec), reference(Image.fromarray(values), spec)
    )


@pytest.mark.parametrize("name", CONSTANTS)
def test_real_pictures_equal_torchvision_to_the_last_bit(name: str, data: Path) -> None:
    from training.data import load_data

    mean, std = CONSTANTS[name]
    spec = make_contract(mean=(mean,), std=(std,)).input
    for pixels in load_data(name, data).test.images[::20]:
        image = Image.fromarray(pixels)
        found = prepare(decode_image(encode(image, compress_level=1), LIMITS), spec)
        assert found.polarity is LIGHT
        assert same_bits(found.tensor, reference(image, spec))


def test_the_tensor_is_contiguous_float32() -> None:
    for spec in (SPEC, COLOUR):
        tensor = prepare(seven(50, 40), spec).tensor
        assert tensor.dtype == np.float32
        assert tensor.shape == spec.shape
        assert tensor.flags.c_contiguous


@pytest.mark.parametrize("size", [(28, 28), (200, 200), (90, 40)])
def test_a_picture_and_its_negative_give_the_same_tensor(size: tuple[int, int]) -> None:
    image = seven(*size)
    light, dark = prepare(image, SPEC), prepare(ImageOps.invert(image), SPEC)
    assert (light.polarity, dark.polarity) == (LIGHT, DARK)
    assert same_bits(light.tensor, dark.tensor)
    assert pixels_of(light.tensor).max() > 200


def test_a_scan_on_coloured_paper_is_turned_light_on_dark() -> None:
    ink = seven(120, 120)
    scan = Image.new("RGB", ink.size, (240, 230, 190))
    scan.paste((20, 20, 110), mask=ink)
    found = prepare(scan, SPEC)
    assert found.polarity is DARK
    expected = prepare(ink, SPEC)
    assert np.corrcoef(found.tensor.ravel(), expected.tensor.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("forced", [LIGHT, DARK])
def test_polarity_can_be_forced(forced: Polarity) -> None:
    image = seven()
    found = prepare(image, SPEC, forced)
    expected = image if forced is LIGHT else ImageOps.invert(image)
    assert found.polarity is forced
    assert same_bits(found.tensor, reference(expected, SPEC))


def test_a_contract_with_a_white_background_wants_dark_on_light() -> None:
    image = seven()
    negative = ImageOps.invert(image)
    for given, polarity in ((image, LIGHT), (negative, DARK)):
        found = prepare(given, WHITE)
        assert found.polarity is polarity
        assert same_bits(found.tensor, reference(negative, WHITE))


def test_a_colour_contract_has_no_polarity() -> None:
    image = seven().convert("RGB")
    for polarity in Polarity:
        for given in (image, ImageOps.invert(image)):
            found = prepare(given, COLOUR, polarity)
            assert found.polarity is None
            assert same_bits(found.tensor, reference(given, COLOUR))


def test_a_grey_picture_fills_all_colours() -> None:
    found = prepare(seven(), COLOUR)
    assert same_bits(found.tensor, reference(seven().convert("RGB"), COLOUR))


def test_colour_becomes_grey_as_pillow_has_it(random: np.random.Generator) -> None:
    image = Image.fromarray(noise(random, 28, 28, 3))
    assert same_bits(prepare(image, SPEC, LIGHT).tensor, reference(image.convert("L"), SPEC))


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA"])
@pytest.mark.parametrize("ink", [0, 255])
def test_ink_on_a_transparent_ground_stands_out(mode: str, ink: int) -> None:
    mask = seven()
    image = Image.new("LA", mask.size, (ink, 0))
    image.putalpha(mask)
    found = prepare(image.convert("RGBA").convert(mode) if mode != "LA" else image, SPEC)
    assert found.polarity is (DARK if ink == 0 else LIGHT)
    assert same_bits(found.tensor, reference(mask, SPEC))


def test_coloured_ink_on_transparency_survives_a_file() -> None:
    mask = seven(100, 100)
    image = Image.new("RGBA", mask.size, (0, 0, 160, 0))
    image.putalpha(mask)
    expected = prepare(mask, SPEC).tensor
    for kind in ("PNG", "WEBP", "TIFF"):
        found = prepare(decode_image(encode(image, kind), LIMITS), SPEC)
        assert found.polarity is DARK
        assert np.corrcoef(found.tensor.ravel(), expected.ravel())[0, 1] > 0.99


def test_an_opaque_alpha_changes_nothing(random: np.random.Generator) -> None:
    image = Image.fromarray(noise(random, 28, 28, 3))
    with_alpha = image.convert("RGBA")
    assert same_bits(prepare(with_alpha, COLOUR).tensor, prepare(image, COLOUR).tensor)


def test_a_wholly_transparent_picture_is_uniform() -> None:
    found = prepare(Image.new("RGBA", (30, 30), (9, 9, 9, 0)), SPEC)
    assert np.ptp(found.tensor) == 0


@pytest.mark.parametrize("transparency", [0, bytes([0, 255]), bytes([0])])
def test_a_palette_with_transparency(transparency: int | bytes) -> None:
    image = Image.fromarray((np.asarray(seven()) > 0).astype(np.uint8)).convert("L")
    palette = Image.new("P", image.size)
    palette.putdata(list(image.tobytes()))
    palette.putpalette([255, 0, 0, 10, 10, 10])
    stored = encode(palette, transparency=transparency)
    decoded = decode_image(stored, LIMITS)
    assert decoded.mode == "P"
    found = prepare(decoded, SPEC)
    assert found.polarity is DARK
    pixels = pixels_of(found.tensor)[0]
    assert pixels[np.asarray(seven()) > 0] == pytest.approx(245, abs=0.1)
    assert pixels[np.asarray(seven()) == 0] == pytest.approx(0, abs=0.1)


def test_a_palette_without_transparency() -> None:
    palette = Image.new("P", (28, 28))
    palette.putdata([int(value > 0) for value in seven().tobytes()])
    palette.putpalette([0, 0, 0, 255, 255, 255])
    found = prepare(decode_image(encode(palette), LIMITS), SPEC)
    assert same_bits(found.tensor, reference(seven(), SPEC))


def test_grey_and_colour_keys_of_png_are_transparent() -> None:
    image = Image.new("L", (28, 28), 200)
    image.paste(40, (10, 10, 18, 18))
    for keyed, key in ((image, 200), (image.convert("RGB"), (200, 200, 200))):
        found = prepare(decode_image(encode(keyed, transparency=key), LIMITS), SPEC)
        assert found.polarity is DARK
        assert sorted(np.unique(np.round(pixels_of(found.tensor)))) == [0, 215]


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "F", "F255"])
def test_deep_intensities_are_scaled(mode: str, random: np.random.Generator) -> None:
    pixels = noise(random, 28, 28)
    pixels[0, 0] = 255
    deep = {
        "I;16": pixels.astype("<u2") * 257,
        "I;16B": pixels.astype(">u2") * 257,
        "I": pixels.astype(np.int32) * 257,
        "F": pixels.astype(np.float32) / 255,
        "F255": pixels.astype(np.float32),
    }[mode]
    found = prepare(Image.fromarray(deep), SPEC, LIGHT)
    assert same_bits(found.tensor, reference(Image.fromarray(pixels), SPEC))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_survive_a_file(kind: str) -> None:
    image = Image.fromarray(np.asarray(seven(56, 56)).astype(np.uint16) * 257)
    decoded = decode_image(encode(image, kind), LIMITS)
    assert decoded.mode.startswith("I")
    assert same_bits(prepare(decoded, SPEC).tensor, prepare(seven(56, 56), SPEC).tensor)


def test_floats_that_are_no_numbers_are_dark() -> None:
    values = np.asarray(seven()).astype(np.float32) / 255
    values[0, :4] = [np.nan, np.inf, -np.inf, -3]
    expected = reference(seven(), SPEC)
    assert same_bits(prepare(Image.fromarray(values), SPEC, LIGHT).tensor, expected)
    decoded = decode_image(encode(Image.fromarray(values), "TIFF"), LIMITS)
    assert same_bits(prepare(decoded, SPEC, LIGHT).tensor, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, 3e38])
def test_uniform_floats_are_finite(value: float) -> None:
    found = prepare(Image.fromarray(np.full((9, 9), value, np.float32)), SPEC)
    assert np.isfinite(found.tensor).all()
    assert np.ptp(found.tensor[:, 4:24, 4:24]) == 0


def test_whole_numbers_beyond_sixteen_bits_are_scaled_by_their_largest() -> None:
    values = np.asarray(seven()).astype(np.int32) * 1_000_000
    values[0, 0] = -5
    assert same_bits(prepare(Image.fromarray(values), SPEC).tensor, reference(seven(), SPEC))


@pytest.mark.parametrize("mode", ["1", "CMYK", "RGBX", "YCbCr", "HSV", "LAB", "LA", "RGBa"])
def test_every_mode_gives_the_same_seven(mode: str) -> None:
    source = seven().convert("RGBA" if mode == "RGBa" else "RGB")
    if mode == "LAB":
        image = Image.merge("LAB", [seven(), *[Image.new("L", (28, 28), 128)] * 2])
    else:
        image = source.convert(mode)
    found = prepare(image, SPEC)
    assert found.polarity is LIGHT
    assert pixels_of(found.tensor)[0] == pytest.approx(np.asarray(seven()), abs=2)


@pytest.mark.parametrize("spec", [SPEC, COLOUR])
def test_a_cielab_tiff_is_read(spec: ImageInput) -> None:
    data = encode(Image.new("LAB", (8, 8), (200, 128, 128)), "TIFF")
    found = prepare(decode_image(data, LIMITS), spec)
    assert found.tensor.shape == spec.shape


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 3), (27, 29), (3000, 1000)])
@pytest.mark.parametrize("spec", [SPEC, WHITE, COLOUR])
@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16", "P", "1"])
def test_any_size_fits(size: tuple[int, int], spec: ImageInput, mode: str) -> None:
    found = prepare(Image.new(mode, size, 1), spec)
    assert found.tensor.shape == spec.shape
    assert np.isfinite(found.tensor).all()


@pytest.mark.parametrize("upright", [True, False])
@pytest.mark.parametrize(("spec", "ground"), [(SPEC, 0), (WHITE, 255), (COLOUR, 0)])
def test_a_thin_line_keeps_its_aspect(spec: ImageInput, ground: int, upright: bool) -> None:
    line = Image.new("L", (1, 5000) if upright else (5000, 1), 128)
    polarity = DARK if spec is WHITE else LIGHT
    pixels = np.round(pixels_of(prepare(line, spec, polarity).tensor, spec))
    if upright:
        pixels = pixels.transpose(0, 2, 1)
    assert (pixels[:, 13] == 128).all()
    assert (np.delete(pixels, 13, axis=1) == ground).all()


def test_the_aspect_is_kept_and_the_rest_padded() -> None:
    wide = Image.new("L", (112, 56), 200)
    pixels = np.round(pixels_of(prepare(wide, SPEC, LIGHT).tensor))[0]
    assert (pixels[7:21] == 200).all()
    assert (pixels[:7] == 0).all()
    assert (pixels[21:] == 0).all()
    tall = wide.transpose(Image.Transpose.ROTATE_90)
    turned = np.round(pixels_of(prepare(tall, SPEC, LIGHT).tensor))[0].T
    assert (turned == pixels).all()


def test_padding_is_not_inverted_with_the_picture() -> None:
    paper = ImageOps.invert(seven(60, 120))
    found = prepare(paper, SPEC)
    assert found.polarity is DARK
    assert np.round(pixels_of(found.tensor))[0, :, :7].max() == 0
    assert np.round(pixels_of(found.tensor))[0, :, 21:].max() == 0


def test_a_small_picture_is_enlarged() -> None:
    pixels = np.round(pixels_of(prepare(Image.new("L", (7, 7), 90), SPEC, LIGHT).tensor))
    assert (pixels == 90).all()


def test_a_rectangular_contract() -> None:
    spec = make_contract(height=10, width=30).input
    pixels = np.round(pixels_of(prepare(Image.new("L", (50, 50), 90), spec, LIGHT).tensor, spec))
    assert pixels.shape == (1, 10, 30)
    assert (pixels[0, :, 10:20] == 90).all()
    assert (pixels[0, :, :10] == 0).all()
    assert (pixels[0, :, 20:] == 0).all()


def test_the_picture_itself_is_left_alone() -> None:
    image = ImageOps.invert(seven(64, 64))
    before = image.tobytes()
    prepare(image, SPEC)
    assert image.tobytes() == before
    assert image.size == (64, 64)
