from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from artifact import Contract, ImageInput, Resize, Size, model_contract
from tests.conftest import make_contract

CHANGED_INPUT: dict[str, object] = {
    "name": "picture",
    "height": 29,
    "width": 29,
    "mode": "RGB",
    "mean": (0.1308,),
    "std": (0.3082,),
    "layout": "NHWC",
    "dtype": "FP16",
    "background": "white",
    "frame": Resize(Size(short_side=32), crop=(28, 28)),
    "scale": 1.0,
    "channel_order": "BGR",
    "polarity": "none",
}
CHANGED: dict[str, object] = {
    "task": "segmentation",
    "outputs": ("mask",),
    "labels": tuple("1023456789"),
}


def test_digest_is_pinned() -> None:
    """A changed digest cuts every running transformer off from every new predictor."""
    assert (
        make_contract().digest
        == "sha256:b50534b13878deb6a320f5eb65641b180a84767e0ab87a5a7cc5197e583c27fd"
    )


SHIPPED = {
    "fashion-mnist/1": "sha256:7fa5053b1092a2aac7c7adb7529b93990faedcb435a92bade2a45af13c0da752",
    "fashion-mnist/2": "sha256:7fa5053b1092a2aac7c7adb7529b93990faedcb435a92bade2a45af13c0da752",
    "fashion-mnist/3": "sha256:099c6d6b7653165090e09be008a579250aee06b47d16a8fc1ebbdab583abf0d6",
    "land-cover/1": "sha256:25c9f3e9ab877aac3c1466f5f33906e2a2e88371e6e0eb52a203510d688a7936",
    "mnist/1": "sha256:b50534b13878deb6a320f5eb65641b180a84767e0ab87a5a7cc5197e583c27fd",
    "mnist/2": "sha256:8db87fe656cf347ec8e08d427dfe3f1045f957a818f57ffcde367491846c3c2e",
}


@pytest.mark.parametrize("identity", SHIPPED)
def test_digests_of_shipped_contracts_are_pinned(identity: str) -> None:
    """A new field of the format must not change what is served already."""
    assert model_contract(Path("models"), *identity.split("/")).digest == SHIPPED[identity]


def test_every_field_has_a_case_below() -> None:
    assert set(CHANGED_INPUT) == {item.name for item in fields(ImageInput)}
    assert {*CHANGED, "input"} == {item.name for item in fields(Contract)}


@pytest.mark.parametrize("name", CHANGED_INPUT)
def test_digest_changes_with_any_field_of_the_input(name: str) -> None:
    assert make_contract(**{name: CHANGED_INPUT[name]}).digest != make_contract().digest


@pytest.mark.parametrize("name", CHANGED)
def test_digest_changes_with_any_field(name: str) -> None:
    contract = make_contract()
    assert replace(contract, **{name: CHANGED[name]}).digest != contract.digest  # type: ignore[arg-type]


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_shape_is_channels_height_width(mode: str, channels: int) -> None:
    spec = make_contract(mode=mode, height=20, width=30).input
    assert spec.shape == (channels, 20, 30)
