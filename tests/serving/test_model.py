from __future__ import annotations

import numpy as np
import pytest

from serving.errors import UnavailableError
from serving.model import Answered, HttpRequest, json_reply, revision_headers
from tests.serving.fake import SumModel


@pytest.mark.parametrize(
    ("header", "media_type"),
    [
        ("application/json", "application/json"),
        ("Application/JSON; charset=utf-8", "application/json"),
        (" image/png ;q=1", "image/png"),
        ("", ""),
    ],
)
def test_media_type(header: str, media_type: str) -> None:
    assert HttpRequest(b"", {"content-type": header}).media_type == media_type
    assert HttpRequest(b"", {}).media_type == ""


def test_answers_say_which_revision_gave_them() -> None:
    assert revision_headers("mnist", Answered("2", "sha256:ab", 5)) == {
        "x-model-name": "mnist",
        "x-model-revision": "2",
        "x-model-digest": "sha256:ab",
        "x-model-instances": "5",
    }


def test_a_model_that_is_not_ready_says_so() -> None:
    SumModel().require_ready()
    with pytest.raises(UnavailableError, match="model sum is not ready"):
        SumModel(ready=False).require_ready()


def test_a_json_answer_ends_its_line() -> None:
    reply = json_reply({"shape": np.array([1, 2])}, {"x-model-revision": "1"})
    assert reply.body == b'{"shape":[1,2]}\n'
    assert (reply.media_type, reply.size) == ("application/json", len(reply.body))
    assert reply.headers == {"x-model-revision": "1"}
