from __future__ import annotations

import json
from typing import Any

import pytest

from artifact import (
    InvalidCardError,
    ModelCard,
    SegmentationContract,
)
from tests.conftest import (
    SEGMENTATION_METRICS,
    make_segmentation_card,
    make_segmentation_contract,
)


def document() -> dict[str, Any]:
    card = make_segmentation_card("areas")
    found: dict[str, Any] = json.loads(card.to_json())
    return found


def test_a_card_is_read_as_it_was_written() -> None:
    card = ModelCard.from_json(json.dumps(document()))
    assert isinstance(card.contract, SegmentationContract)
    assert card.contract == make_segmentation_contract()
    assert card.metrics == SEGMENTATION_METRICS
    assert card.contract.input.accepts((3, 16, 64))
    assert not card.contract.input.accepts((3, 16, 65))
    assert not card.contract.input.accepts((3, 16, 80))
    assert card.contract.output_shapes((3, 16, 64)) == ((4, 16, 64),)


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        (("colours",), [[0, 0, 0]], "contract.colours"),
        (("colours", 1), [0, 0, 256], "contract.colours[1][2]"),
        (("colours", 1), [0, 0], "contract.colours[1]"),
        (("void",), 4, "contract.void"),
        (("input", "tile"), 63, "contract.input.tile"),
        (("input", "overlap"), 32, "contract.input.overlap"),
        (("input", "mean"), [0.5], "contract.input.mean"),
        (("input", "reduction"), 0, "contract.input.reduction"),
        (("input", "full_scale", "uint8"), 0, "contract.input.full_scale.uint8"),
    ],
)
def test_a_wrong_field_is_named(place: tuple[Any, ...], value: object, field: str) -> None:
    wrong = document()
    target = wrong["contract"]
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    with pytest.raises(InvalidCardError) as caught:
        ModelCard.from_json(json.dumps(wrong))
    assert [fault.field for fault in caught.value.faults] == [field]


def test_the_shipped_seed_is_one_of_the_seeds() -> None:
    wrong = document()
    wrong["metrics"]["shipped_seed"] = 1
    with pytest.raises(InvalidCardError, match=r"metrics\.shipped_seed: is none of the seeds"):
        ModelCard.from_json(json.dumps(wrong))


def test_the_average_of_the_seeds_is_none_of_them() -> None:
    averaged = document()
    averaged["metrics"]["shipped_seed"] = None
    assert ModelCard.from_json(json.dumps(averaged)).metrics.shipped_seed is None
    del averaged["metrics"]["shipped_seed"]
    with pytest.raises(InvalidCardError, match=r"metrics\.shipped_seed: is missing"):
        ModelCard.from_json(json.dumps(averaged))


def test_a_run_finished_at_a_moment() -> None:
    wrong = document()
    wrong["metrics"]["seeds"][0]["finished"] = "yesterday"
    with pytest.raises(InvalidCardError) as caught:
        ModelCard.from_json(json.dumps(wrong))
    assert caught.value.faults[0].field == "metrics.seeds[0].finished"
