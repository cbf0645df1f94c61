from __future__ import annotations

from dataclasses import replace

import pytest

from artifact import CardError
from tests.conftest import make_contract
from transformer.classification import Classification
from transformer.tasks import TASKS, task_for


def test_the_task_is_the_one_that_the_contract_names() -> None:
    assert isinstance(task_for(make_contract()), Classification)
    assert make_contract().task in TASKS


def test_an_unknown_task_names_the_field_and_the_known_ones() -> None:
    with pytest.raises(CardError) as caught:
        task_for(replace(make_contract(), task="detection"))
    assert caught.value.field == "contract.task"
    assert "'detection'" in caught.value.reason
    assert "classification" in caught.value.reason
