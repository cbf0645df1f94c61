from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

from tests.conftest import make_contract
from tests.transformer.images import noise, seven
from transformer.pictures.assembly import Plain, assemble
from transformer.pictures.polarity import Polarity
from transformer.pictures.preprocess import prepare

SPEC = make_contract().input


def pictures(random: np.random.Generator) -> list[Image.Image]:
    return [
        seven(),
        ImageOps.invert(seven()),
        Image.fromarray(noise(random, 28, 28)),
        Image.new("L", (28, 28), 255),
    ]


def test_plain_and_prepared_instances_come_out_alike_and_in_order(
    random: np.random.Generator,
) -> None:
    shown = pictures(random)
    for asked in Polarity:
        prepared = [prepare(picture, SPEC, asked) for picture in shown]
        plain = [Plain(picture.tobytes(), asked) for picture in shown]
        mixed = [a if n % 2 else b for n, (a, b) in enumerate(zip(prepared, plain, strict=True))]
        expected, polarities = assemble(prepared, SPEC)
        assert expected.shape == (4, 1, 28, 28)
        for items in (plain, mixed):
            batch, found = assemble(items, SPEC)
            assert batch.dtype == np.uint8
            assert batch.tobytes() == expected.tobytes()
            assert found == polarities


def test_each_instance_keeps_its_own_polarity() -> None:
    dark = ImageOps.invert(seven()).tobytes()
    asked = [Polarity.AUTO, Polarity.LIGHT_ON_DARK, Polarity.DARK_ON_LIGHT]
    batch, found = assemble([Plain(dark, polarity) for polarity in asked], SPEC)
    assert found == [Polarity.DARK_ON_LIGHT, Polarity.LIGHT_ON_DARK, Polarity.DARK_ON_LIGHT]
    assert (batch[0] == batch[2]).all()
    assert not (batch[0] == batch[1]).all()


def test_a_contract_on_white(random: np.random.Generator) -> None:
    spec = make_contract(background="white").input
    for picture in pictures(random):
        batch, (found,) = assemble([Plain(picture.tobytes(), Polarity.AUTO)], spec)
        expected = prepare(picture, spec)
        assert (batch[0].tobytes(), found) == (expected.planes.tobytes(), expected.polarity)
