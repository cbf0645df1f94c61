from __future__ import annotations

import base64
import io
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artifact import CARD_FILE
from benchmarks.limit import answer_all, decode
from benchmarks.networks import SHIPPED, TWO_CONVOLUTIONS, Network, prepare_networks
from benchmarks.pictures import Pictures, drawn_digits, encode_png, load_pictures
from benchmarks.questions import Reference, questions, v2_body
from benchmarks.service import tensor_question
from predictor.loading import load_revision
from tests.conftest import SHIPPED as MODELS


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return Pictures(drawn_digits(400, seed=1), drawn_digits(200, seed=2), "drawn")


@pytest.fixture(scope="module")
def networks(pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Network]:
    return prepare_networks(MODELS, tmp_path_factory.mktemp("models"), pictures)


def test_drawn_digits_are_distinct_and_the_same_every_time() -> None:
    data = drawn_digits(50, seed=7)
    assert len({image.tobytes() for image in data.images}) == 50
    assert set(data.labels.tolist()) == set(range(10))
    assert (data.images == drawn_digits(50, seed=7).images).all()
    assert data.images.mean(axis=(1, 2)).min() > 5


def test_missing_data_is_replaced_by_drawn_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise ValueError("not there")

    monkeypatch.setattr("benchmarks.pictures.load_data", missing)
    found = load_pictures(tmp_path, train=20, test=10)
    assert (len(found.train), len(found.test)) == (20, 10)
    assert "drawn" in found.source


def test_real_data_are_taken_where_they_are(data: Path) -> None:
    found = load_pictures(data, train=20, test=10)
    assert (len(found.train), len(found.test)) == (20, 10)
    assert found.source == "the test images of MNIST"


def test_both_networks_are_revisions_under_one_root(
    networks: dict[str, Network], pictures: Pictures
) -> None:
    shipped, second = networks[SHIPPED], networks[TWO_CONVOLUTIONS]
    assert shipped.root == second.root
    path = second.root / "mnist" / TWO_CONVOLUTIONS / "weights.safetensors"
    weights = path.read_bytes()
    assert prepare_networks(MODELS, shipped.root, pictures) == networks
    assert path.read_bytes() == weights
    others = Pictures(drawn_digits(100, seed=3), pictures.test, "drawn")
    prepare_networks(MODELS, shipped.root, others)
    assert path.read_bytes() != weights


def test_a_shipped_revision_that_was_replaced_is_copied_again(
    networks: dict[str, Network], pictures: Pictures
) -> None:
    copy, shipped = networks[SHIPPED].root / "mnist" / SHIPPED, MODELS / "mnist" / SHIPPED
    card = json.loads((copy / CARD_FILE).read_text())
    (copy / CARD_FILE).write_text(json.dumps({**card, "created": "1970-01-01T00:00:00Z"}))
    (copy / "weights.safetensors").write_bytes(b"others")
    prepare_networks(MODELS, networks[SHIPPED].root, pictures)
    for name in (CARD_FILE, "weights.safetensors"):
        assert (copy / name).read_bytes() == (shipped / name).read_bytes()


def test_questions_have_known_answers_and_changing_labels(
    networks: dict[str, Network], pictures: Pictures
) -> None:
    network = networks[SHIPPED]
    reference = Reference(network)
    known = reference.known(pictures.test, 12)
    classes = [expected.class_id for _, expected in known]
    assert all(a != b for a, b in pairwise(classes))
    asked = questions(known, images_a_request=5)
    assert [len(question.expected) for question in asked] == [5, 5, 5]
    assert asked[2].expected[2:] == asked[0].expected[:3]
    (first, *_) = json.loads(asked[0].body)["instances"]
    assert base64.b64decode(first["base64"]) == known[0][0]
    image = Image.open(io.BytesIO(known[0][0]))
    assert reference.probabilities([image])[0].max() == pytest.approx(known[0][1].probability)
    with pytest.raises(ValueError, match="images right, not 1000"):
        reference.known(pictures.test, 1000)


def test_large_pictures_have_no_probability(
    networks: dict[str, Network], pictures: Pictures
) -> None:
    ((png, expected), *_) = Reference(networks[SHIPPED]).known(pictures.test, 2, side=56)
    assert Image.open(io.BytesIO(png)).size == (56, 56)
    assert expected.probability is None


def test_the_predictor_is_asked_for_the_same_image(
    networks: dict[str, Network], pictures: Pictures
) -> None:
    network = networks[SHIPPED]
    (question, *_) = questions(Reference(network).known(pictures.test, 3), images_a_request=3)
    asked = tensor_question(network, question)
    assert asked.expected == question.expected[:1]
    tensor = np.asarray(json.loads(asked.body)["instances"], np.float32)
    loaded = load_revision(network.root, "mnist", SHIPPED)
    (row,) = loaded.probabilities(tensor)
    assert row.argmax() == asked.expected[0].class_id
    assert row.max() == pytest.approx(asked.expected[0].probability, abs=1e-5)


def test_v2_body() -> None:
    (tensor,) = json.loads(v2_body([b"a", b"b"]))["inputs"]
    assert tensor["shape"] == [2, 1]
    assert tensor["data"] == ["YQ==", "Yg=="]


def test_the_limit_counts_every_image_and_finds_wrong_ones(
    networks: dict[str, Network], pictures: Pictures
) -> None:
    network = networks[SHIPPED]
    known = Reference(network).known(pictures.test, 6)
    loaded = load_revision(network.root, "mnist", SHIPPED)
    images, classes = [png for png, _ in known], [expected.class_id for _, expected in known]
    count = answer_all(loaded, images, classes, 0.0)
    assert (count.images, count.wrong) == (6, 0)
    assert count.seconds > 0
    assert min(count.decode_seconds, count.forward_seconds) > 0
    assert answer_all(loaded, images, [(c + 1) % 10 for c in classes], 0.0).wrong == 6


def test_the_limit_decodes_what_was_sent() -> None:
    pixels = drawn_digits(1, seed=4).images[0]
    assert (decode(encode_png(Image.fromarray(pixels)), (28, 28)) == pixels).all()
