"""With real data: what is new becomes a better live revision, and what is bad does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from registry.entry import Action
from tests.conftest import ARCHITECTURE
from tests.lifecycle.scenes import SEED, Scene, only, scene, shifted, without
from training.classification import contract_for
from training.data import LabelledImages, load_data

BAG, BOOT = 8, 9
OTHERS = range(5)
SETTINGS = "epochs: 6\nbatch_size: 64\nlr: 0.05\naverage: 0.9\nkeep: last\nprecision: fp32\n"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_four_parts_arrive(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = load_data("FashionMNIST", data)
    random = np.random.default_rng(SEED)
    order = random.permutation(len(full.train))
    first, second = (full.train.subset(part) for part in (order[:1500], order[1500:4500]))
    tests = full.test.subset(random.permutation(len(full.test))[:800])
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    shop = scene(
        tmp_path,
        "fashion-mnist",
        contract_for(full),
        without(first, (BAG, BOOT), but=5),
        tests,
        ARCHITECTURE,
        tmp_path / "settings.yaml",
        epochs=6,
    )
    # Nobody can say that these are no bags: the live revision has hardly seen any.
    clothes = only(second, *OTHERS)
    bags = LabelledImages(clothes.images, np.full_like(clothes.labels, BAG))
    tell(capsys, shop, "clothes called bags", bags, "refused")
    last = shop.place.registry.history.entries()[-1]
    assert (last.action, shop.place.live("fashion-mnist")) == (Action.REFUSED, "1")

    tell(capsys, shop, "bags and boots", only(first, BAG, BOOT), "rolled-out")
    assert shop.place.live("fashion-mnist") == "2"
    entries = shop.place.registry.history.entries()
    assert entries[-1].action is Action.PROMOTED
    assert "the new data's held-out part" in entries[-1].why
    card = shop.place.card("fashion-mnist")
    assert len(card.training["data_parts"]) == 2
    assert len(card.training["data_without"]) == 1

    tell(capsys, shop, "again", only(first, BAG, BOOT), "rolled-out")
    assert shop.place.registry.history.entries() == entries

    tell(capsys, shop, "mislabelled", shifted(second.subset(np.arange(800))), "refused")
    last = shop.place.registry.history.entries()[-1]
    assert (last.action, shop.place.live("fashion-mnist")) == (Action.DATA_REFUSED, "2")


def tell(
    capsys: pytest.CaptureFixture[str], shop: Scene, name: str, part: LabelledImages, state: str
) -> None:
    """Drop a part, and say what became of it."""
    run = shop.drop(f"{name.replace(' ', '-')}.npz", part)
    with capsys.disabled():
        print(f"\n{name} ({len(part)}): {run.state} {run.revision}: {run.why}", flush=True)
    assert run.state == state
