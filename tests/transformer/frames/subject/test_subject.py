from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from artifact import ImageInput, SubjectFrame
from tests.conftest import make_contract
from transformer.frames import framing_for
from transformer.frames.subject.find import spread
from transformer.frames.subject.fit import stroke_width
from transformer.frames.subject.grouping import in_reading_order, subjects_of
from transformer.frames.subject.regions import find_regions
from transformer.pictures.polarity import Polarity
from transformer.pictures.preprocess import prepare, prepare_subjects
from transformer.tensors import to_pixels

WHOLE = make_contract().input_as(ImageInput)
DIGITS = replace(WHOLE, frame=SubjectFrame(box=20, centre="mass", stroke=2.2))
GARMENTS = replace(WHOLE, frame=SubjectFrame(box=28, centre="box"))


def paper(width: int = 480, height: int = 360, level: int = 210) -> Image.Image:
    """Shaded from the left, with grain."""
    random = np.random.default_rng(0)
    shade = np.linspace(0.55, 1, width)
    grain = random.normal(0, 4, (height, width))
    return Image.fromarray(np.clip(level * shade + grain, 0, 255).astype(np.uint8))


def draw_seven(picture: Image.Image, left: int, top: int, side: int, ink: int = 30) -> None:
    brush = ImageDraw.Draw(picture)
    points = [(left, top), (left + side * 0.6, top), (left + side * 0.2, top + side)]
    brush.line(points, fill=ink, width=max(2, side // 14), joint="curve")


def shown(picture: Image.Image, spec: ImageInput = DIGITS) -> np.ndarray:
    return to_pixels(prepare(picture, spec).planes[np.newaxis], spec)[0, :, :, 0]


@pytest.mark.parametrize("side", [40, 120, 280])
@pytest.mark.parametrize("place", [(20, 20), (150, 50), (290, 30)])
def test_a_subject_fills_its_box_about_the_middle_wherever_it_was(
    side: int, place: tuple[int, int]
) -> None:
    picture = paper()
    draw_seven(picture, *place, side)
    found = shown(picture)
    ys, xs = np.nonzero(found > 60)
    assert 18 <= max(np.ptp(ys), np.ptp(xs)) + 1 <= 21
    weights = found / found.sum()
    centre = (weights.sum(axis=0) @ np.arange(28), weights.sum(axis=1) @ np.arange(28))
    assert np.allclose(centre, 13.5, atol=0.6)
    assert found.max() > 230
    assert (found[:3] == 0).all()
    assert (found[:, :3] == 0).all()


def test_the_box_is_where_the_subject_was_drawn() -> None:
    picture = paper(1600, 1200)
    draw_seven(picture, 900, 300, 200)
    (found,) = prepare_subjects(picture, DIGITS)
    assert found.box is not None
    assert np.allclose(found.box, (893, 293, 1027, 507), atol=8)
    assert found.polarity is Polarity.DARK_ON_LIGHT
    assert found.scaled(2).box == tuple(2 * side for side in found.box)


def test_light_ink_on_a_dark_board_is_the_same_subject() -> None:
    picture = paper()
    draw_seven(picture, 150, 50, 200)
    negative = picture.point(lambda level: 255 - level)
    found = prepare(negative, DIGITS)
    assert found.polarity is Polarity.LIGHT_ON_DARK
    difference = np.abs(shown(negative).astype(int) - shown(picture))
    assert difference.mean() < 12


def test_a_picture_of_the_contract_s_size_is_taken_as_it_is() -> None:
    random = np.random.default_rng(1)
    picture = Image.fromarray(random.integers(0, 256, (28, 28), np.uint8))
    assert (prepare(picture, DIGITS).tensor == prepare(picture, WHOLE).tensor).all()


@pytest.mark.parametrize("spec", [DIGITS, GARMENTS])
@pytest.mark.parametrize("size", [(1, 1), (64, 64), (900, 700)])
def test_paper_with_nothing_on_it_has_no_subject(spec: ImageInput, size: tuple[int, int]) -> None:
    (found,) = prepare_subjects(paper(*size), spec)
    assert found.subjects == 0
    assert found.box is None
    assert len(np.unique(found.tensor)) == 1


def test_a_number_is_read_from_the_left_line_by_line() -> None:
    picture = paper(900, 500)
    for left, top in [(500, 260), (60, 40), (300, 50), (540, 30), (90, 250)]:
        draw_seven(picture, left, top, 130)
    found = prepare_subjects(picture, DIGITS)
    assert [item.subjects for item in found] == [5] * 5
    corners = [item.box[:2] for item in found if item.box]
    wanted = [(60, 40), (300, 50), (540, 30), (90, 250), (500, 260)]
    assert np.allclose(corners, wanted, atol=12)


def test_thin_strokes_become_as_wide_as_the_network_knows_them() -> None:
    picture = paper()
    brush = ImageDraw.Draw(picture)
    brush.line([(100, 40), (300, 40), (160, 320)], fill=30, width=3)
    thin = replace(DIGITS, frame=SubjectFrame(box=20, stroke=0.1))
    assert stroke_width(shown(picture).astype(np.float32)) > 1.8
    assert stroke_width(shown(picture, thin).astype(np.float32)) < 1.5


def test_a_hard_shadow_is_no_ink() -> None:
    levels = np.full((360, 480), 220.0)
    levels[:, 240:] *= 0.5
    picture = Image.fromarray(levels.astype(np.uint8)).filter(ImageFilter.GaussianBlur(4))
    draw_seven(picture, 60, 100, 120)
    (found,) = prepare_subjects(picture, DIGITS)
    assert found.box is not None
    assert np.allclose(found.box, (55, 95, 137, 225), atol=8)


@pytest.mark.parametrize(("ground", "cloth"), [(235, 60), (25, 200)])
def test_a_garment_fills_the_frame_in_its_tones_light_on_black(ground: int, cloth: int) -> None:
    picture = Image.new("L", (500, 400), ground)
    brush = ImageDraw.Draw(picture)
    brush.rectangle([200, 60, 300, 300], fill=cloth)
    brush.rectangle([230, 150, 270, 190], fill=ground)  # a hole in it is part of it
    found = shown(picture, GARMENTS)
    ys, xs = np.nonzero(found)
    assert np.ptp(ys) + 1 == 28
    assert 11 <= np.ptp(xs) + 1 <= 13
    assert found[3, 14] > 150
    assert 0 < found[13, 14] < 40


def test_on_a_white_background_what_is_shown_is_the_negative() -> None:
    spec = replace(DIGITS, background="white")
    picture = paper()
    draw_seven(picture, 150, 50, 200)
    assert (shown(picture, spec) == 255 - shown(picture)).all()


def test_regions_are_those_of_a_flood_fill() -> None:
    random = np.random.default_rng(2)
    for _ in range(20):
        mask = random.random((23, 31)) < 0.4
        weights = random.random(mask.shape).astype(np.float32)
        found = find_regions(mask, weights)
        assert ((found.labels > 0) == mask).all()
        for number, (box, mass) in enumerate(zip(found.boxes, found.masses, strict=True), 1):
            own = found.labels == number
            ys, xs = np.nonzero(own)
            assert box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
            assert mass == pytest.approx(weights[own].sum(), rel=1e-4)
            # Grown by a point, and cut to the mask, it is the same: nothing more belongs to it.
            assert (spread(own, 1) & mask == own).all()


def test_a_small_part_beside_a_subject_belongs_to_it_and_a_neighbour_does_not() -> None:
    body, bar, neighbour, speck = (10, 30, 40, 90), (30, 20, 55, 26), (60, 20, 90, 90), (5, 5, 7, 7)
    groups = subjects_of([body, bar, neighbour, speck], [900.0, 120.0, 800.0, 2.0])
    assert groups == [[0, 1], [2]]


def test_a_long_bar_above_belongs_to_a_digit_and_the_next_line_does_not() -> None:
    body, bar, below = (0, 40, 100, 160), (110, 20, 260, 40), (0, 170, 90, 290)
    assert subjects_of([body, bar], [900.0, 600.0]) == [[0, 1]]
    assert subjects_of([body, below], [900.0, 800.0]) == [[0], [1]]


def test_reading_order_is_by_lines() -> None:
    found = in_reading_order(
        [((50, 12, 60, 40), [1]), ((0, 10, 20, 42), [0]), ((5, 50, 9, 70), [2])]
    )
    assert found == [[0], [1], [2]]


def test_a_garment_that_lies_askew_is_turned_upright() -> None:
    spec = replace(GARMENTS, frame=SubjectFrame(box=28, centre="box", upright=15.0))
    straight = Image.new("L", (500, 500), 235)
    ImageDraw.Draw(straight).rectangle([190, 120, 310, 380], fill=60)
    askew = straight.rotate(10, Image.Resampling.BICUBIC, fillcolor=235)
    wanted = shown(straight, spec).astype(int)
    turned, left_askew = (np.abs(shown(askew, s) - wanted).mean() for s in (spec, GARMENTS))
    assert turned < 10
    assert left_askew > 1.5 * turned


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_of_a_large_picture_some_pixels_of_each_block_are_enough(mode: str) -> None:
    framing = framing_for(DIGITS)
    small = paper(600, 450)
    draw_seven(small, 200, 90, 240)
    large = small.resize((4001, 3001), Image.Resampling.BICUBIC).convert(mode)
    shrunk = framing.shrink(large)
    assert (shrunk.size, shrunk.mode) == ((500, 375), mode)
    every = np.asarray(large.reduce(8).convert("L"), float)[:375, :500]
    assert np.abs(np.asarray(shrunk.convert("L")) - every).mean() < 2
    left, top, right, bottom = prepare(large, DIGITS).box or (0, 0, 0, 0)
    assert np.allclose((left, top, right, bottom), np.array((195, 85, 350, 333)) * 6.67, atol=40)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("side", [8, 160])
def test_a_digit_that_fills_its_picture_is_found_on_its_own_ground(
    side: int, inverted: bool
) -> None:
    # As scikit-learn's digits are: eight pixels, of which the strokes cover half.
    picture = Image.new("L", (80, 80), 255 * inverted)
    ImageDraw.Draw(picture).ellipse((16, 4, 64, 76), outline=255 * (not inverted), width=18)
    found = prepare_subjects(picture.resize((side, side), Image.Resampling.BOX), DIGITS)
    assert [item.polarity for item in found] == [
        Polarity.DARK_ON_LIGHT if inverted else Polarity.LIGHT_ON_DARK
    ]
    levels = to_pixels(found[0].planes[np.newaxis], DIGITS)[0, :, :, 0]
    assert levels[14, 14] < 30 and levels[14].max() > 200


def test_a_gradient_alone_has_no_subject() -> None:
    slope = np.linspace(0, 255, 400).astype(np.uint8)[np.newaxis].repeat(300, 0)
    assert prepare(Image.fromarray(slope), DIGITS).subjects == 0


def test_a_garment_s_tones_are_brought_up_and_a_grey_one_stays_grey() -> None:
    for cloth, (least, most) in {40: (250, 255), 150: (90, 150)}.items():
        picture = Image.new("L", (300, 300), 240)
        ImageDraw.Draw(picture).rectangle((90, 60, 210, 240), fill=cloth)
        assert least <= shown(picture, GARMENTS).max() <= most
