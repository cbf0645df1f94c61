from __future__ import annotations

import io

import numpy as np
from PIL import Image

from benchmarks.subject_plot import plot
from benchmarks.subjects import Result, table
from training.photographs import KINDS, SIZES, shots
from training.photographs.strokes import draw
from training.photographs.subjects import outline_of, photograph_digit


def test_a_table_has_a_row_for_each_kind_and_says_before_and_after() -> None:
    kinds, sizes = KINDS["MNIST"], SIZES["MNIST"]
    before = Result("mnist/1", {(kinds[0], sizes[0]): [1, 4]})
    after = Result("mnist/2", {(kinds[0], sizes[0]): [3, 4]})
    lines = table([before, after], "MNIST").splitlines()
    assert len(lines) == 2 + len(kinds) + 1
    assert "25.0% → 75.0%" in lines[2]
    assert after.accuracy == 0.75
    assert plot([before, after], "MNIST").startswith(b"\x89PNG")


def test_a_photograph_depends_on_seed_and_number_alone() -> None:
    images = np.zeros((3, 28, 28), np.uint8)
    images[:, 6:22, 12:15] = 255
    for dataset in ("MNIST", "FashionMNIST"):
        every = list(shots(dataset, images, seed=4))
        (last,) = shots(dataset, images, seed=4, indices=[2])
        assert last.photograph.data == every[2].photograph.data
        picture = Image.open(io.BytesIO(last.photograph.data))
        left, top, right, bottom = last.photograph.box
        assert 0 <= left < right <= picture.width
        assert 0 <= top < bottom <= picture.height
        longest = max(right - left, bottom - top)
        assert abs(longest / min(picture.size) - last.photograph.share) < 0.01


def test_paper_with_nothing_on_it_can_be_photographed() -> None:
    random = np.random.default_rng(0)
    nothing = np.zeros((28, 28), np.uint8)
    assert photograph_digit(nothing, "pen", 0.5, random).data


def test_strokes_that_a_faint_join_holds_together_are_drawn_as_one() -> None:
    digit = np.zeros((28, 28), np.uint8)
    digit[4:13, 13:16] = digit[15:24, 13:16] = 255
    apart = np.asarray(draw(digit, 1.2))
    digit[13:15, 13:16] = 90
    joined = np.asarray(draw(digit, 1.2))
    rows = slice(11 * 8, 17 * 8)
    assert (apart[rows].max(axis=1) < 20).any()
    assert (joined[rows].max(axis=1) > 100).all()


def test_what_is_under_a_bag_s_handle_is_background() -> None:
    bag = np.zeros((28, 28), np.uint8)
    bag[4:26, 4:24] = 200
    bag[6:14, 8:20] = 0
    bag[20:22, 10:12] = 0  # a white buckle
    outline = outline_of(bag)
    assert not outline[6:14, 8:20].any()
    assert outline[20:22, 10:12].all()
