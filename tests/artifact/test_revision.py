from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from artifact import (
    CARD_FILE,
    WEIGHTS_FILE,
    ArtifactError,
    Contract,
    ContractConflictError,
    DigestMismatchError,
    Export,
    InvalidCardError,
    ModelCard,
    RevisionExistsError,
    RevisionNotFoundError,
    SubjectFrame,
    model_contract,
    model_contracts,
    next_revision,
    open_revision,
    revisions_of,
    sha256_of,
    write_revision,
)
from tests.conftest import make_card, make_contract

BYTES = b"not looked into here"


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else b""
        for path in root.rglob("*")
    }


def test_what_is_written_is_what_is_opened(tmp_path: Path) -> None:
    written = write_revision(tmp_path, make_card(), BYTES, {"curves.png": b"png"})
    assert written == open_revision(tmp_path, "mnist", "1")
    assert set(tree(tmp_path / "mnist")) == {
        "1",
        f"1/{CARD_FILE}",
        f"1/{WEIGHTS_FILE}",
        "1/curves.png",
    }
    assert written.read_weights() == BYTES
    assert (written.folder / "curves.png").read_bytes() == b"png"
    document = (written.folder / CARD_FILE).read_bytes()
    assert written.digest == "sha256:" + hashlib.sha256(document).hexdigest()


def test_the_weights_entry_comes_from_the_bytes(tmp_path: Path) -> None:
    weights = write_revision(tmp_path, make_card(), BYTES).card.weights
    assert weights.file == WEIGHTS_FILE
    assert weights.sha256 == "sha256:" + hashlib.sha256(BYTES).hexdigest()
    assert weights.size_bytes == len(BYTES)


def test_a_revision_can_be_read_by_others(tmp_path: Path) -> None:
    assert write_revision(tmp_path, make_card(), BYTES).folder.stat().st_mode & 0o777 == 0o755


def test_a_revision_is_never_overwritten(tmp_path: Path) -> None:
    write_revision(tmp_path, make_card(), BYTES)
    before = tree(tmp_path)
    with pytest.raises(RevisionExistsError, match="mnist/1 exists"):
        write_revision(tmp_path, make_card(temperature=3.0), b"other")
    assert tree(tmp_path) == before


def test_a_folder_without_a_card_is_not_overwritten_either(tmp_path: Path) -> None:
    (tmp_path / "mnist" / "1").mkdir(parents=True)
    with pytest.raises(RevisionExistsError):
        write_revision(tmp_path, make_card(), BYTES)
    assert set(tree(tmp_path)) == {"mnist", "mnist/1"}


def test_two_writers_of_one_revision_do_not_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename
    other = write_revision(tmp_path / "other", make_card(), b"first").folder

    def late(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        rename(other, target)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(RevisionExistsError):
        write_revision(tmp_path, make_card(), b"second")
    assert os.listdir(tmp_path / "mnist") == ["1"]
    assert open_revision(tmp_path, "mnist", "1").read_weights() == b"first"


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    write_revision(tmp_path, make_card(), BYTES)
    before = tree(tmp_path)
    with pytest.raises(OSError, match="name too long"):
        write_revision(tmp_path, make_card(revision="2"), BYTES, {"x" * 300: b"x"})
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "model.json", "weights.safetensors"])
def test_an_attachment_is_a_file_of_its_own_in_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match="cannot be the name of an attachment"):
        write_revision(tmp_path, make_card(), BYTES, {name: b"x"})
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    "card",
    [
        make_card("Bad Name"),
        make_card("../out"),
        make_card(temperature=0.0),
        make_card(created="2026-99-99T99:99:99Z"),
    ],
)
def test_a_card_that_cannot_be_read_back_is_not_written(tmp_path: Path, card: ModelCard) -> None:
    with pytest.raises(InvalidCardError):
        write_revision(tmp_path / "models", card, BYTES)
    assert tree(tmp_path) == {}


def test_a_draft_of_another_writer_is_no_revision(tmp_path: Path) -> None:
    write_revision(tmp_path, make_card(), BYTES)
    draft = tmp_path / "mnist" / ".2-abc"
    draft.mkdir()
    (draft / CARD_FILE).write_text("{")
    assert revisions_of(tmp_path, "mnist") == ["1"]
    assert write_revision(tmp_path, make_card(revision="2"), BYTES).card.revision == "2"


def test_another_contract_needs_another_name(tmp_path: Path) -> None:
    write_revision(tmp_path, make_card(), BYTES)
    before = tree(tmp_path)
    other = make_contract(background="white")
    with pytest.raises(ContractConflictError, match=r"mnist/1 .* mnist/2.* name of its own"):
        write_revision(tmp_path, make_card(revision="2", contract=other), BYTES)
    assert tree(tmp_path) == before
    write_revision(tmp_path, make_card("mnist-white", contract=other), BYTES)


def test_an_accepted_contract_may_have_another_frame(tmp_path: Path) -> None:
    old = write_revision(tmp_path, make_card(), BYTES).card.contract
    new = make_contract(frame=SubjectFrame(20))
    card = make_card(revision="2", contract=new, accepts=(old.digest,))
    write_revision(tmp_path, card, BYTES)
    assert model_contracts(tmp_path, "mnist") == [new, old]


@pytest.mark.parametrize(
    "other",
    [
        make_contract(mean=(0.5,)),
        replace(make_contract(), labels=tuple("9876543210")),
        replace(make_contract(), outputs=("scores",)),
    ],
    ids=["tensors", "labels", "outputs"],
)
def test_a_contract_that_means_something_else_is_not_accepted(
    tmp_path: Path, other: Contract
) -> None:
    """Whoever speaks the old one would read the new one's answers as what they are not."""
    old = write_revision(tmp_path, make_card(), BYTES).card.contract
    card = make_card(revision="2", contract=other, accepts=(old.digest,))
    assert not card.answers(old)
    with pytest.raises(ContractConflictError):
        write_revision(tmp_path, card, BYTES)


def test_a_missing_revision_tells_which_there_are(tmp_path: Path) -> None:
    for revision in ("1", "2"):
        write_revision(tmp_path, make_card(revision=revision), BYTES)
    with pytest.raises(RevisionNotFoundError, match=r"model mnist has no revision at .*: 1, 2\)"):
        open_revision(tmp_path, "mnist", "3")
    with pytest.raises(RevisionNotFoundError, match="none"):
        open_revision(tmp_path, "fashion-mnist", "1")


def test_a_file_where_a_folder_should_be_is_a_missing_revision(tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "1").write_text("x")
    with pytest.raises(RevisionNotFoundError):
        open_revision(tmp_path, "mnist", "1")


def test_a_card_in_the_wrong_place_is_refused(tmp_path: Path) -> None:
    folder = write_revision(tmp_path, make_card(), BYTES).folder
    moved = folder.rename(tmp_path / "mnist" / "2")
    with pytest.raises(ArtifactError, match="says revision 1, its folder says 2"):
        open_revision(tmp_path, "mnist", "2")
    (tmp_path / "fashion-mnist").mkdir()
    moved.rename(tmp_path / "fashion-mnist" / "1")
    with pytest.raises(ArtifactError, match="card of model mnist, not fashion-mnist"):
        open_revision(tmp_path, "fashion-mnist", "1")


def test_a_revision_can_lie_elsewhere(tmp_path: Path) -> None:
    folder = write_revision(tmp_path / "made", make_card(revision="7"), BYTES).folder
    mounted = folder.rename(tmp_path / "mounted")
    revision = open_revision(tmp_path / "empty", "mnist", str(mounted))
    assert revision.card.identity == "mnist/7"
    assert revision.read_weights() == BYTES
    with pytest.raises(ArtifactError, match="card of model mnist, not fashion-mnist"):
        open_revision(tmp_path / "empty", "fashion-mnist", str(mounted))
    with pytest.raises(RevisionNotFoundError, match="nowhere"):
        open_revision(tmp_path, "mnist", str(tmp_path / "nowhere"))


def test_a_damaged_card_is_a_card_error(tmp_path: Path) -> None:
    folder = write_revision(tmp_path, make_card(), BYTES).folder
    (folder / CARD_FILE).write_text("{}")
    with pytest.raises(InvalidCardError, match="  format: is missing") as caught:
        open_revision(tmp_path, "mnist", "1")
    assert str(caught.value).startswith(f"{folder / CARD_FILE}: 6 faults\n  ")


def test_a_revision_may_have_an_export_alone(tmp_path: Path) -> None:
    export = Export("onnx", "model.onnx", sha256_of(b"program"), 7, 18, 2, 0.0, 1e-5)
    card = make_card(exports=(export,), architecture=None)
    revision = write_revision(tmp_path, card, None, {"model.onnx": b"program"})
    assert revision.card.weights is None
    assert sorted(path.name for path in revision.folder.iterdir()) == [CARD_FILE, "model.onnx"]
    assert revision.read_export(export) == b"program"
    revision.check_files()
    (revision.folder / "model.onnx").write_bytes(b"another")
    with pytest.raises(DigestMismatchError):
        revision.check_files()


def test_without_weights_and_exports_there_is_nothing_to_serve(tmp_path: Path) -> None:
    with pytest.raises(InvalidCardError, match="weights: is missing, and there are no exports"):
        write_revision(tmp_path, make_card(), None)


def test_other_weights_than_the_cards_are_refused(tmp_path: Path) -> None:
    revision = write_revision(tmp_path, make_card(), BYTES)
    (revision.folder / WEIGHTS_FILE).write_bytes(BYTES[:-1] + b"!")
    with pytest.raises(DigestMismatchError) as caught:
        revision.read_weights()
    assert revision.card.weights.sha256 in str(caught.value)
    assert "mnist/1" in str(caught.value)


def test_a_card_without_weights_opens_but_has_none_to_read(tmp_path: Path) -> None:
    folder = write_revision(tmp_path, make_card(), BYTES).folder
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(RevisionNotFoundError, match="mnist/1"):
        open_revision(tmp_path, "mnist", "1").read_weights()


def test_the_digest_stands_for_the_whole_artefact(tmp_path: Path) -> None:
    one = write_revision(tmp_path / "a", make_card(), b"one")
    two = write_revision(tmp_path / "b", make_card(), b"two")
    again = write_revision(tmp_path / "c", make_card(), b"one")
    assert one.digest == again.digest != two.digest


def test_revisions_are_ordered_as_people_count(tmp_path: Path) -> None:
    for revision in ("10", "b", "9", "1", "a-candidate"):
        write_revision(tmp_path, make_card(revision=revision), BYTES)
    (tmp_path / "mnist" / "11").mkdir()
    assert revisions_of(tmp_path, "mnist") == ["1", "9", "10", "a-candidate", "b"]
    assert revisions_of(tmp_path, "fashion-mnist") == []


def test_the_next_revision_follows_the_highest_number(tmp_path: Path) -> None:
    assert next_revision(tmp_path, "mnist") == "1"
    for revision in ("2", "10", "zebra"):
        write_revision(tmp_path, make_card(revision=revision), BYTES)
    assert next_revision(tmp_path, "mnist") == "11"


def test_the_contract_of_a_model_is_that_of_all_its_cards(tmp_path: Path) -> None:
    for revision in ("1", "2"):
        write_revision(tmp_path, make_card(revision=revision), BYTES)
        (tmp_path / "mnist" / revision / WEIGHTS_FILE).unlink()
    assert model_contract(tmp_path, "mnist") == make_contract()
    other = make_card(revision="2", contract=make_contract(background="white"))
    (tmp_path / "mnist" / "2" / CARD_FILE).write_text(other.to_json())
    with pytest.raises(ContractConflictError, match="mnist/1 and mnist/2"):
        model_contract(tmp_path, "mnist")
    assert model_contract(tmp_path, "mnist", "2") == other.contract
    with pytest.raises(RevisionNotFoundError, match="no card"):
        model_contract(tmp_path, "fashion-mnist")


def exported(data: bytes) -> dict[str, object]:
    return {"exports": (Export("onnx", "m.onnx", sha256_of(data), len(data), 18, 1, 0.0, 1e-5),)}


def test_an_export_is_read_as_its_card_names_it(tmp_path: Path) -> None:
    card = make_card(**exported(b"program"))
    revision = write_revision(tmp_path, card, b"weights", {"m.onnx": b"program"})
    (export,) = revision.card.exports
    assert revision.read_export(export) == b"program"
    (revision.folder / "m.onnx").write_bytes(b"Program")
    with pytest.raises(DigestMismatchError, match=r"m\.onnx"):
        revision.read_export(export)
    (revision.folder / "m.onnx").unlink()
    with pytest.raises(RevisionNotFoundError, match=r"m\.onnx"):
        revision.read_export(export)


@pytest.mark.parametrize("files", [{}, {"m.onnx": b"another"}])
def test_a_file_that_the_card_names_must_be_given(files: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"m\.onnx"):
        write_revision(tmp_path, make_card(**exported(b"program")), b"weights", files)
    assert not list(tmp_path.iterdir())
