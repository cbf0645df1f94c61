from __future__ import annotations

import io

import numpy as np
from PIL import Image

from benchmarks.subject_plot import plot
from benchmarks.subjects import Result, table
from training.photographs import KINDS, SIZES, shots
from training.photographs.subjects import photograph_digit


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
