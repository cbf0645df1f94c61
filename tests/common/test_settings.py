from __future__ import annotations

import logging
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, SecretStr

from common.settings import SettingError, Settings, read_settings, variable, without_prefix


class Example(Settings):
    old_names: ClassVar[dict[str, str]] = without_prefix("size", "password")

    size: int = Field(3, ge=1, description="of it")
    password: SecretStr = Field(SecretStr(""), min_length=3, description="for it")
    later: str = Field("", description="came with the prefix")


def test_a_setting_is_read_from_its_variable() -> None:
    assert variable("size") == "VISION_SIZE"
    assert read_settings(Example, {"VISION_SIZE": "4", "VISION_OTHER": "x"}).size == 4


def test_an_old_name_is_read_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        settings = read_settings(Example, {"SIZE": "4", "PASSWORD": "hush", "LATER": "x"})
    assert (settings.size, settings.password.get_secret_value()) == (4, "hush")
    assert settings.later == ""
    (record,) = caplog.records
    assert "SIZE is now VISION_SIZE, PASSWORD is now VISION_PASSWORD" in record.getMessage()
    assert "hush" not in record.getMessage()


def test_the_new_name_wins_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert read_settings(Example, {"SIZE": "4", "VISION_SIZE": "5"}).size == 5
    assert not caplog.records


def test_a_wrong_value_is_refused_by_the_name_that_was_used() -> None:
    with pytest.raises(SettingError, match=r"^VISION_SIZE='many': "):
        read_settings(Example, {"VISION_SIZE": "many"})
    with pytest.raises(SettingError, match=r"^SIZE='many': "):
        read_settings(Example, {"SIZE": "many"})


def test_a_secret_is_never_shown() -> None:
    with pytest.raises(SettingError, match=r"^VISION_PASSWORD: ") as caught:
        read_settings(Example, {"VISION_PASSWORD": "pw"})
    assert "pw" not in str(caught.value)


def test_any_value_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "size").write_text("7\n")
    assert read_settings(Example, {"VISION_SIZE_FILE": str(tmp_path / "size")}).size == 7
    with pytest.raises(SettingError, match=r"VISION_SIZE_FILE=.*No such file"):
        read_settings(Example, {"VISION_SIZE_FILE": str(tmp_path / "none")})
