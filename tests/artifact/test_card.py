from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from artifact import FORMAT, CardError, Contract, Export, Golden, InvalidCardError, ModelCard
from tests.conftest import make_card

OPAQUE = ("architecture.arguments", "training", "libraries")

Path = tuple[str | int, ...]

EXPORT = Export("onnx", "model.onnx", "sha256:" + "2" * 64, 5, 18, 7, 1e-7, 1e-5)
GOLDEN = Golden("golden.safetensors", "sha256:" + "3" * 64, 1e-4)
DOCUMENT: dict[str, Any] = json.loads(
    make_card(parent="mnist/7", exports=(EXPORT,), golden=GOLDEN).to_json()
)
OPTIONAL = [
    (name,)
    for name in (
        "weights",
        "created",
        "architecture",
        "temperature",
        "exports",
        "golden",
        "parent",
        "data",
        "training",
        "metrics",
        "libraries",
    )
]


def spell(path: Path) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def walk(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    if spell(path) in OPAQUE:
        return
    if isinstance(value, dict):
        for name, item in value.items():
            yield from walk(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from walk(item, (*path, index))


def at(document: Any, path: Path) -> Any:
    for part in path:
        document = document[part]
    return document


def changed(path: Path, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    at(document, path[:-1])[path[-1]] = value
    return document


def refusal(document: Any) -> CardError:
    (error,) = faults(document)
    assert str(error) == f"model.json: {error.field}: {error.reason}"
    return error


def faults(document: Any) -> tuple[CardError, ...]:
    with pytest.raises(InvalidCardError) as caught:
        ModelCard.from_json(json.dumps(document))
    return caught.value.faults


PATHS = list(walk(DOCUMENT))
FIELDS = [path for path in PATHS if isinstance(path[-1], str)]
OBJECTS = [(), *(path for path in PATHS if isinstance(at(DOCUMENT, path), dict))]

WRONG_TYPES: dict[type, list[Any]] = {
    str: [None, 5, True, [], {}],
    int: [None, "5", True, 1.5, [], {}],
    float: [None, "0.5", True, [], {}],
    dict: [None, "x", 5, True, []],
    list: [None, "x", 5, True, {}],
}
WRONG = [
    (path, value)
    for path in PATHS
    for value in WRONG_TYPES[type(at(DOCUMENT, path))]
    if not (path == ("parent",) and value is None)
]


def test_the_walk_sees_every_level() -> None:
    names = {spell(path) for path in PATHS}
    assert {
        "format",
        "contract_digest",
        "contract.input.height",
        "contract.input.mean[0]",
        "contract.labels[9]",
        "metrics.seeds[0].test_ece_before",
        "architecture.arguments",
    } <= names
    assert "architecture.arguments.stem" not in names


@pytest.mark.parametrize("path", [path for path in FIELDS if path not in OPTIONAL], ids=spell)
def test_a_missing_field_is_named(path: Path) -> None:
    document = copy.deepcopy(DOCUMENT)
    del at(document, path[:-1])[path[-1]]
    error = refusal(document)
    assert error.field == spell(path)
    assert error.reason.startswith("is missing")


def test_what_is_not_known_is_left_out() -> None:
    card = make_card()
    known = ModelCard(card.name, card.revision, card.contract, card.weights)
    document = json.loads(known.to_json())
    assert set(document) == {
        "format",
        "name",
        "revision",
        "contract",
        "contract_digest",
        "weights",
    }
    assert ModelCard.from_json(known.to_json()) == known


FORMAT_1 = {
    **{name: value for name, value in DOCUMENT.items() if name not in ("exports", "golden")},
    "format": 1,
}


def test_format_1_is_still_read() -> None:
    card = ModelCard.from_json(json.dumps(FORMAT_1))
    assert card == make_card(parent="mnist/7")
    assert json.loads(card.to_json()) == {**FORMAT_1, "format": FORMAT}


@pytest.mark.parametrize("name", sorted(FORMAT_1))
def test_every_field_of_format_1_is_required(name: str) -> None:
    error = refusal({key: value for key, value in FORMAT_1.items() if key != name})
    assert error.field == name
    assert error.reason.startswith("is missing")


@pytest.mark.parametrize("name", ["exports", "golden"])
def test_format_1_has_none_of_what_came_later(name: str) -> None:
    error = refusal({**FORMAT_1, name: DOCUMENT[name]})
    assert (error.field, error.reason) == (name, "is not a field of this format")


@pytest.mark.parametrize(
    "path", [path for path in OBJECTS if spell(path) not in OPAQUE], ids=lambda p: spell(p) or "top"
)
def test_an_unknown_field_is_named(path: Path) -> None:
    document = copy.deepcopy(DOCUMENT)
    at(document, path)["surprise"] = 1
    error = refusal(document)
    assert error.field == spell((*path, "surprise"))
    assert error.reason == "is not a field of this format"


def test_weights_may_be_left_out_where_there_is_an_export() -> None:
    document = copy.deepcopy(DOCUMENT)
    del document["weights"]
    assert ModelCard.from_json(json.dumps(document)).weights is None
    del document["exports"]
    assert refusal(document).field == "weights"


def test_all_faults_are_told_at_once() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["name"] = "My Model"
    document["surprise"] = 1
    document["weights"]["size_bytes"] = "5"
    document["weights"]["digest"] = 1
    document["contract"]["input"]["height"] = 0
    document["contract"]["input"]["mean"] = [0.5, "x"]
    document["metrics"]["seeds"][0]["seed"] = -1
    del document["metrics"]["test_ece"]
    document["data"] = []
    with pytest.raises(InvalidCardError) as caught:
        ModelCard.from_json(json.dumps(document))
    assert str(caught.value).splitlines() == [
        "model.json: 9 faults",
        "  contract.input.height: must be at least 1, not 0",
        "  contract.input.mean[1]: must be a number, not a string",
        "  name: must be lower-case letters and digits, with hyphens between them, not 'My Model'",
        "  weights.size_bytes: must be an integer, not a string",
        "  weights.digest: is not a field of this format",
        "  data: must be an object, not an array",
        "  metrics.test_ece: is missing",
        "  metrics.seeds[0].seed: must be at least 0, not -1",
        "  surprise: is not a field of this format",
    ]


def test_what_follows_from_a_fault_is_none_of_its_own() -> None:
    """Neither the metrics of a task that is not known, nor the digest of a broken contract."""
    document = copy.deepcopy(DOCUMENT)
    document["contract"]["task"] = "telepathy"
    document["metrics"] = {"any": "thing"}
    assert refusal(document).field == "contract.task"
    document = copy.deepcopy(DOCUMENT)
    document["contract"]["input"] = None
    assert refusal(document).field == "contract.input"


@pytest.mark.parametrize(("path", "value"), WRONG, ids=repr)
def test_a_field_of_the_wrong_type_is_named(path: Path, value: Any) -> None:
    assert refusal(changed(path, value)).field == spell(path)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("name",), "Mnist"),
        (("name",), ""),
        (("name",), "../mnist"),
        (("revision",), ".."),
        (("revision",), "1/2"),
        (("revision",), ".1"),
        (("created",), "2026-01-02"),
        (("created",), "2026-01-02T03:04:05+00:00"),
        (("architecture", "name"), "os.system"),
        (("contract_digest",), "0" * 64),
        (("contract", "task"), "Classification"),
        (("contract", "input", "height"), 0),
        (("contract", "input", "width"), -28),
        (("contract", "input", "mode"), "CMYK"),
        (("contract", "input", "layout"), "CHWN"),
        (("contract", "input", "dtype"), "FP16"),
        (("contract", "input", "background"), "grey"),
        (("contract", "input", "std", 0), 0),
        (("contract", "labels", 3), ""),
        (("temperature",), 0),
        (("temperature",), -1.0),
        (("temperature",), float("nan")),
        (("metrics", "test_accuracy"), float("inf")),
        (("metrics", "seeds", 0, "temperature"), 0.0),
        (("metrics", "seeds", 0, "finished"), "today"),
        (("metrics", "seeds", 0, "seed"), -1),
        (("weights", "sha256"), "sha256:" + "G" * 64),
        (("weights", "size_bytes"), 0),
        (("data", "digest"), "md5:" + "0" * 64),
        (("data", "test"), 0),
        (("parent",), "mnist"),
        (("parent",), "../mnist/1"),
    ],
    ids=repr,
)
def test_a_value_outside_its_range_is_named(path: Path, value: Any) -> None:
    assert refusal(changed(path, value)).field == spell(path)


@pytest.mark.parametrize(
    "file",
    [
        "/etc/passwd.safetensors",
        "../2/weights.safetensors",
        "sub/weights.safetensors",
        "sub\\weights.safetensors/x",
        "..safetensors",
        ".safetensors",
        "weights.pt",
        "weights.safetensors\n",
        "weights.safetensors\0",
    ],
    ids=repr,
)
def test_a_card_cannot_point_outside_its_folder(file: str) -> None:
    assert refusal(changed(("weights", "file"), file)).field == "weights.file"


@pytest.mark.parametrize("name", ["outputs", "labels"])
def test_entries_are_not_repeated_nor_absent(name: str) -> None:
    path = ("contract", name)
    assert refusal(changed(path, ["a", "a"])).reason == "must not repeat an entry"
    assert refusal(changed(path, [])).reason == "must not be empty"


@pytest.mark.parametrize("name", ["mean", "std"])
@pytest.mark.parametrize(("mode", "values"), [("L", [0.5, 0.5, 0.5]), ("RGB", [0.5])])
def test_channel_constants_fit_the_mode(name: str, mode: str, values: list[float]) -> None:
    document = changed(("contract", "input", "mode"), mode)
    channels = {"L": [0.5], "RGB": [0.5, 0.5, 0.5]}[mode]
    document["contract"]["input"].update({"mean": channels, "std": channels, name: values})
    error = refusal(document)
    assert error.field == f"contract.input.{name}"
    assert mode in error.reason


@pytest.mark.parametrize("text", ["", "{", b"\xff\xfe", "[1,"], ids=repr)
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidCardError, match=r"document: is not JSON") as caught:
        ModelCard.from_json(text)
    assert caught.value.faults[0].field == "document"


@pytest.mark.parametrize(
    ("text", "kind"), [("[]", "an array"), ("null", "null"), ('"x"', "a string"), ("1", "a number")]
)
def test_the_document_is_an_object(text: str, kind: str) -> None:
    with pytest.raises(InvalidCardError, match=f"document: must be an object, not {kind}"):
        ModelCard.from_json(text)


def test_another_format_is_refused_before_anything_else() -> None:
    with pytest.raises(
        InvalidCardError, match=f"this release reads formats up to {FORMAT}"
    ) as caught:
        ModelCard.from_json(json.dumps({"format": FORMAT + 1, "new": True}))
    assert [fault.field for fault in caught.value.faults] == ["format"]


def test_a_contract_edited_by_hand_is_noticed() -> None:
    error = refusal(changed(("contract", "labels", 0), "nought"))
    assert error.field == "contract_digest"
    assert DOCUMENT["contract_digest"] in error.reason


@pytest.mark.parametrize("parent", [None, "mnist/7"])
def test_round_trip(parent: str | None) -> None:
    card = make_card(parent=parent)
    text = card.to_json()
    assert ModelCard.from_json(text) == card
    assert ModelCard.from_json(text.encode()) == card
    assert ModelCard.from_json(text).to_json() == text


def test_round_trip_of_labels_beyond_ascii() -> None:
    contract = make_card().contract
    card = make_card(
        contract=Contract(contract.task, contract.input, contract.outputs, ("Fußgänger", "犬"))
    )
    text = card.to_json()
    assert "犬" in text
    assert ModelCard.from_json(text.encode()) == card


def test_identity() -> None:
    assert make_card("fashion-mnist", "2").identity == "fashion-mnist/2"
