from __future__ import annotations

import pytest
from pydantic import Field, ValidationError

from common.settings import SettingError, read_settings
from serving.settings import ServerSettings


class Longer(ServerSettings):
    predictor_timeout_seconds: float = Field(20.0, gt=0, description="for one call")


def test_defaults_need_no_environment() -> None:
    assert read_settings(ServerSettings, {}) == ServerSettings()
    assert ServerSettings().host == "0.0.0.0"


@pytest.mark.parametrize("name", ServerSettings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    description = ServerSettings.model_fields[name].description
    assert description
    assert len(description.split()) > 2


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("VISION_HOST", "127.0.0.1", "127.0.0.1"),
        ("VISION_MODEL_ROOT", "/mnt/models", "/mnt/models"),
        ("VISION_MAX_BODY_BYTES", "2048", 2048),
        ("VISION_MAX_INSTANCES", "7", 7),
        ("VISION_LOG_LEVEL", "DEBUG", "DEBUG"),
        ("VISION_ACCESS_LOG", "true", True),
        ("VISION_GRACE_SECONDS", "0", 0),
    ],
)
def test_every_setting_is_read_from_its_variable(variable: str, text: str, value: object) -> None:
    settings = read_settings(ServerSettings, {variable: text, "UNRELATED": "x"})
    field = variable.removeprefix("VISION_").lower()
    assert getattr(settings, field) == value
    rest = ServerSettings().model_dump(exclude={field})
    assert settings.model_dump(exclude={field}) == rest


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("VISION_MAX_BODY_BYTES", "1023"),
        ("VISION_MAX_BODY_BYTES", "32MB"),
        ("VISION_MAX_BODY_BYTES", "1e6"),
        ("VISION_MAX_INSTANCES", "0"),
        ("VISION_MAX_INSTANCES", "-1"),
        ("VISION_MAX_INSTANCES", "many"),
        ("VISION_LOG_LEVEL", "TRACE"),
        ("VISION_LOG_LEVEL", "info"),
        ("VISION_ACCESS_LOG", "perhaps"),
        ("VISION_GRACE_SECONDS", "-1"),
        ("VISION_GRACE_SECONDS", "1.5"),
        ("VISION_PREDICTOR_TIMEOUT_SECONDS", "0"),
        ("VISION_PREDICTOR_TIMEOUT_SECONDS", "soon"),
    ],
)
def test_a_wrong_value_names_its_variable(variable: str, text: str) -> None:
    with pytest.raises(SettingError) as caught:
        read_settings(Longer, {variable: text})
    assert str(caught.value).startswith(f"{variable}={text!r}: ")
    assert len(str(caught.value)) > len(f"{variable}={text!r}: ")


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert (
        read_settings(ServerSettings, {"VISION_MAX_INSTANCES": "", "VISION_HOST": ""})
        == ServerSettings()
    )


def test_a_service_adds_settings_of_its_own() -> None:
    settings = read_settings(
        Longer, {"VISION_PREDICTOR_TIMEOUT_SECONDS": "0.5", "VISION_MAX_INSTANCES": "3"}
    )
    assert isinstance(settings, Longer)
    assert (settings.predictor_timeout_seconds, settings.max_instances) == (0.5, 3)


def test_settings_do_not_change_while_serving() -> None:
    with pytest.raises(ValidationError):
        ServerSettings().max_instances = 5  # type: ignore[misc]
