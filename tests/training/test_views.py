from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import training.views
from artifact import ImageInput
from predictor.networks import build_network
from tests.conftest import ARCHITECTURE, make_contract
from tests.training.synthetic import images, settings
from training.data import LabelledImages
from training.settings import AUGMENTATION
from training.views import TaughtViews, answer, ask, taught_views, view_batches

SPEC = make_contract().input_as(ImageInput)
SETTINGS = settings(teacher_views=5, flip=0.5, shift=0.2)


class Telling(nn.Module):
    """A teacher whose logits name the picture: where its pixels' weight lies, and how much."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, images: Tensor) -> Tensor:
        places = torch.linspace(0, 1, 28)
        rows = (images.float().mean((1, 3)) * places).mean(1)
        columns = (images.float().mean((1, 2)) * places).mean(1)
        return torch.stack([rows, columns, images.float().mean((1, 2, 3))], 1) * self.factor


def small_network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build_network(ARCHITECTURE)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Sizes of the batches that teachers were asked about."""
    sizes: list[int] = []

    def counted(teachers: Any, batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        return answer(teachers, batch)

    monkeypatch.setattr(training.views, "answer", counted)
    yield sizes


def same(one: TaughtViews, two: TaughtViews) -> bool:
    return all(torch.equal(tensor, vars(two)[name]) for name, tensor in vars(one).items())


def test_teachers_answer_together() -> None:
    teachers, batch = [small_network(1), small_network(2)], torch.randn(6, 1, 28, 28).bfloat16()
    found = answer(teachers, batch)
    assert (found.shape, found.dtype) == ((6, 10), torch.float32)
    alone = [answer([teacher], batch) for teacher in teachers]
    torch.testing.assert_close(found, (alone[0] + alone[1]) / 2)


def test_every_view_comes_with_the_answers_to_itself() -> None:
    data = images(48)
    views = ask([Telling()], data, SETTINGS, SPEC)
    assert views.images.shape == (5, 48, 1, 28, 28)
    assert views.logits.shape == (5, 48, 3)
    generator = torch.Generator().manual_seed(0)
    batches = view_batches(views, SETTINGS, generator)
    pictures = set()
    for _ in range(4):
        for batch, _, soft in batches:
            assert torch.equal(soft, Telling()(batch))
            pictures |= {tuple(row) for row in soft.tolist()}
    assert len(pictures) > 2 * len(data)


def test_an_epoch_shows_every_image_once_in_any_of_its_views() -> None:
    data = LabelledImages(images(48).images, np.arange(48))
    views = ask([Telling()], data, SETTINGS, SPEC)

    def epochs(seed: int, count: int) -> list[tuple[list[int], list[float]]]:
        batches = view_batches(views, SETTINGS, torch.Generator().manual_seed(seed))
        assert len(batches) == 3
        found = []
        for _ in range(count):
            parts = list(batches)
            labels = torch.cat([labels for _, labels, _ in parts]).tolist()
            assert sorted(labels) == list(range(48))
            found.append((labels, torch.cat([soft for _, _, soft in parts])[:, 0].tolist()))
        return found

    first = epochs(1, 2)
    assert first[0] != first[1]
    assert epochs(1, 2) == first
    assert epochs(2, 2) != first
    shown: dict[int, set[float]] = {}
    for labels, pictures in epochs(3, 40):
        for label, picture in zip(labels, pictures, strict=True):
            shown.setdefault(label, set()).add(picture)
    stored = {i: {round(v, 6) for v in views.logits[:, i, 0].tolist()} for i in range(48)}
    assert {i: {round(v, 6) for v in found} for i, found in shown.items()} == stored


def test_views_are_the_same_whatever_torch_drew_before() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = ask([Telling()], images(20), SETTINGS, SPEC)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert same(one, ask([Telling()], images(20), SETTINGS, SPEC))


def test_teachers_are_asked_once(tmp_path: Path, asked: list[int]) -> None:
    path = tmp_path / "views.safetensors"
    first = taught_views(path, [Telling()], images(30), SETTINGS, SPEC)
    assert asked == [20, 10] * 5
    again = taught_views(path, [Telling()], images(30), SETTINGS, SPEC)
    assert asked == [20, 10] * 5
    assert same(first, again)
    # What does not change the views does not ask again: another rate, say.
    taught_views(path, [Telling()], images(30), replace(SETTINGS, lr=0.5, epochs=9), SPEC)
    assert asked == [20, 10] * 5


@pytest.mark.parametrize(
    "changes",
    [
        {"teachers": [Telling(2.0)]},
        {"teachers": [Telling(), Telling()]},
        {"data": images(30, seed=1)},
        {"data": LabelledImages(images(30).images, 9 - images(30).labels)},
        {"spec": make_contract(mean=(0.5,)).input_as(ImageInput)},
        {"settings": replace(SETTINGS, teacher_views=2)},
        *({"settings": replace(SETTINGS, **{name: value})} for name, value in
          {"flip": 0.0, "shift": 0.1, "degrees": 9.0, "zoom": 0.1, "shear": 5.0, "erase": 0.5,
           "erase_area": 0.1, "group": 1}.items()),
    ],
    ids=str,
)  # fmt: skip
def test_a_file_of_other_views_is_written_anew(
    tmp_path: Path, asked: list[int], changes: dict[str, Any]
) -> None:
    path = tmp_path / "views.safetensors"
    values = {"teachers": [Telling()], "data": images(30), "settings": SETTINGS, "spec": SPEC}
    taught_views(path, **values)  # type: ignore[arg-type]
    asked.clear()
    found = taught_views(path, **{**values, **changes})  # type: ignore[arg-type]
    assert asked
    assert same(found, ask(**{**values, **changes}))  # type: ignore[arg-type]


def test_every_setting_of_the_augmentation_is_among_those_above() -> None:
    assert set(AUGMENTATION) == {
        "flip", "shift", "degrees", "zoom", "shear", "erase", "erase_area", "group"
    }  # fmt: skip


def test_a_failed_write_leaves_no_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space"):
        taught_views(tmp_path / "views.safetensors", [Telling()], images(30), SETTINGS, SPEC)
    assert not (tmp_path / "views.safetensors").exists()


def write_views(path: Path) -> bool:
    """Whether this process was the one that asked."""
    calls = []
    original = training.views.ask

    def noted(*arguments: Any) -> TaughtViews:
        calls.append(1)
        return original(*arguments)

    training.views.ask = noted
    taught_views(path, [Telling()], images(30), SETTINGS, SPEC)
    return bool(calls)


def test_of_processes_at_once_one_asks_and_the_others_wait(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with Pool(3, context=context) as pool:
        found = pool.map(write_views, [tmp_path / "views.safetensors"] * 3, chunksize=1)
    assert sum(found) == 1
