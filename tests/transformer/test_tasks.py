from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace
from typing import cast

import pytest

from artifact import CardError, Contract
from serving.model import ServedModel
from tests.conftest import make_contract
from transformer.classification.classifier import ClassificationModel
from transformer.hop import ClientSettings, PredictorClient
from transformer.settings import TransformerSettings
from transformer.tasks import model_for


def build(contract: Contract) -> ServedModel:
    hop = PredictorClient(ClientSettings("127.0.0.1:1", 1.0, 1, 1 << 20))
    settings = TransformerSettings.model_validate({})
    return model_for("mnist", contract, hop, cast(Executor, None), settings)


def test_the_task_is_the_one_that_the_contract_names() -> None:
    assert isinstance(build(make_contract()), ClassificationModel)


def test_an_unknown_task_names_the_field_and_the_known_ones() -> None:
    with pytest.raises(CardError) as caught:
        build(replace(make_contract(), task="divination"))
    assert caught.value.field == "contract.task"
    assert "'divination'" in caught.value.reason
    assert "classification, detection, " in caught.value.reason
