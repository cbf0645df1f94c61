"""Which revisions are in memory, and what a request hears while they are not."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from artifact import ArtifactError, Revision
from predictor import on_demand as module
from predictor.loading import LoadedRevision, load
from predictor.model import Payload, PredictorModel
from predictor.on_demand import OnDemand, Residents, weights_bytes
from predictor.workers import WorkerPool
from serving.errors import OverloadedError, UnavailableError
from tests.conftest import write_small
from tests.waiting import until

NAMES = ("ants", "bees", "cats", "dogs")
BATCH = np.zeros((1, 1, 28, 28), np.float32)


class Loading:
    """Loads really, once its gate is open, and remembers what."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def __call__(self, revision: Revision) -> LoadedRevision:
        self.asked.append(revision.card.name)
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        return load(revision)


@pytest.fixture(scope="module")
def revisions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Revision]:
    root = tmp_path_factory.mktemp("tree")
    return {name: write_small(root, name, "1", seed) for seed, name in enumerate(NAMES)}


@pytest.fixture
def loading() -> Loading:
    return Loading()


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(1) as made:
        yield made


@pytest.fixture
def places(
    loading: Loading,
    pool: WorkerPool,
    revisions: dict[str, Revision],
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, OnDemand]:
    """Room for two of the four; none of which is kept for long."""
    monkeypatch.setattr(module, "KEPT_SECONDS", 0.0)
    monkeypatch.setattr(module, "WAIT_SECONDS", 60.0)  # a busy machine loads slowly
    size = weights_bytes(revisions["ants"].card)
    residents = Residents(pool, loading, 2 * size + size // 2)
    return {name: OnDemand(revision, residents) for name, revision in revisions.items()}


def inside(places: dict[str, OnDemand]) -> list[str]:
    return [name for name, place in places.items() if place.held is not None]


async def test_the_first_request_loads_and_is_answered(
    places: dict[str, OnDemand], loading: Loading
) -> None:
    (found,) = await places["bees"].run(BATCH)
    assert found.shape == (1, 10)
    await places["bees"].run(BATCH)
    assert (loading.asked, inside(places)) == (["bees"], ["bees"])


async def test_requests_together_load_once(places: dict[str, OnDemand], loading: Loading) -> None:
    await asyncio.gather(*(places["bees"].run(BATCH) for _ in range(20)))
    assert loading.asked == ["bees"]


async def test_the_least_recently_used_leaves(
    places: dict[str, OnDemand], pool: WorkerPool
) -> None:
    for name in ("ants", "bees", "ants", "cats"):
        await places[name].run(BATCH)
    assert inside(places) == ["ants", "cats"]
    assert len(pool._queues) == 2
    await places["bees"].run(BATCH)
    assert inside(places) == ["bees", "cats"]


async def test_whose_place_is_taken_is_out_of_memory_at_once(places: dict[str, OnDemand]) -> None:
    """Not when the collector looks for cycles: a server has it look seldom."""
    await places["ants"].run(BATCH)
    held = places["ants"].held
    assert held is not None
    session = weakref.ref(held.loaded.session)
    del held
    gc.disable()
    try:
        for name in ("bees", "cats"):
            await places[name].run(BATCH)
        assert inside(places) == ["bees", "cats"]
        assert session() is None
    finally:
        gc.enable()


async def test_who_is_being_answered_stays(places: dict[str, OnDemand]) -> None:
    for name in ("ants", "bees"):
        await places[name].run(BATCH)
        places[name].users += 1
    with pytest.raises(OverloadedError, match="no room for cats/1 beside the models in use") as no:
        await places["cats"].run(BATCH)
    assert (no.value.status, no.value.headers()["retry-after"]) == (429, "1")
    places["ants"].users -= 1
    await places["cats"].run(BATCH)
    assert inside(places) == ["bees", "cats"]


async def test_models_that_do_not_fit_together_do_not_push_each_other_out(
    places: dict[str, OnDemand], loading: Loading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_SECONDS", 60.0)
    refused = 0
    for _ in range(20):
        for name in ("ants", "bees", "cats"):
            try:
                await places[name].run(BATCH)
            except OverloadedError:
                refused += 1
    assert (refused, loading.asked) == (20, ["ants", "bees"])


async def test_a_request_does_not_wait_for_long(
    places: dict[str, OnDemand], loading: Loading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)
    loading.gate.clear()
    for _ in range(2):
        with pytest.raises(OverloadedError, match="ants/1 is being loaded; try again"):
            await places["ants"].run(BATCH)
    loading.gate.set()
    await until(lambda: inside(places) == ["ants"])
    await places["ants"].run(BATCH)
    assert loading.asked == ["ants"]


async def test_who_leaves_does_not_end_the_loading(
    places: dict[str, OnDemand], loading: Loading
) -> None:
    loading.gate.clear()
    asking = asyncio.create_task(places["ants"].run(BATCH))
    await until(lambda: loading.asked == ["ants"])
    asking.cancel()
    loading.gate.set()
    await until(lambda: inside(places) == ["ants"])
    assert places["ants"].users == 0


@pytest.mark.parametrize("error", [ArtifactError("ants/1: damaged"), RuntimeError("out of it")])
async def test_a_revision_that_cannot_be_loaded_is_not_tried_at_every_request(
    error: Exception,
    places: dict[str, OnDemand],
    loading: Loading,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    loading.error = error
    for _ in range(3):
        with pytest.raises(UnavailableError, match="ants/1 cannot be loaded; the predictor's log"):
            await places["ants"].run(BATCH)
    assert loading.asked == ["ants"]
    assert str(error) in caplog.text
    loading.error = None
    await asyncio.gather(*(places[name].run(BATCH) for name in ("bees", "cats")))  # room is there
    monkeypatch.setattr(module, "FAILED_SECONDS", 0.0)
    await places["ants"].run(BATCH)


async def test_one_that_never_fits_is_refused(
    revisions: dict[str, Revision], pool: WorkerPool, loading: Loading
) -> None:
    place = OnDemand(revisions["ants"], Residents(pool, loading, 100))
    with pytest.raises(UnavailableError, match=r"ants/1 has .* all together may have 100"):
        await place.run(BATCH)
    assert loading.asked == []


async def test_ready_says_whether_it_is_in_memory(places: dict[str, OnDemand]) -> None:
    models = {name: PredictorModel(place, 8) for name, place in places.items()}
    assert not models["ants"].ready
    models["ants"].require_ready()  # its request is let in
    answer = await models["ants"].predict(Payload(BATCH, None))
    assert answer.answered.revision == "1"
    assert models["ants"].ready
    for name in ("bees", "cats"):
        await models[name].predict(Payload(BATCH, None))
    assert [model.ready for model in models.values()] == [False, True, True, False]


def test_a_tree_is_read_without_opening_weights(
    tmp_path: Path, pool: WorkerPool, loading: Loading
) -> None:
    revision = write_small(tmp_path, "ants", "1", 0)
    (revision.folder / "weights.safetensors").unlink()
    assert OnDemand(revision, Residents(pool, loading, 1 << 20)).size_bytes > 0
