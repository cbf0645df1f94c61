from __future__ import annotations

import pytest
from pydantic import Field, ValidationError

from serving.settings import ServerSettings, SettingError, read_settings


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
        ("HOST", "127.0.0.1", "127.0.0.1"),
        ("MODEL_ROOT", "/mnt/models", "/mnt/models"),
        ("MAX_BODY_BYTES", "2048", 2048),
        ("MAX_INSTANCES", "7", 7),
        ("LOG_LEVEL", "DEBUG", "DEBUG"),
        ("ACCESS_LOG", "true", True),
        ("GRACE_SECONDS", "0", 0),
    ],
)
def test_every_setting_is_read_from_its_variable(variable: str, text: str, value: object) -> None:
    settings = read_settings(ServerSettings, {variable: text, "UNRELATED": "x"})
    assert getattr(settings, variable.lower()) == value
    assert settings.model_dump(exclude={variable.lower()}) == ServerSettings().model_dump(
        exclude={variable.lower()}
    )


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("MAX_BODY_BYTES", "1023"),
        ("MAX_BODY_BYTES", "32MB"),
        ("MAX_BODY_BYTES", "1e6"),
        ("MAX_INSTANCES", "0"),
        ("MAX_INSTANCES", "-1"),
        ("MAX_INSTANCES", "many"),
        ("LOG_LEVEL", "TRACE"),
        ("LOG_LEVEL", "info"),
        ("ACCESS_LOG", "perhaps"),
        ("GRACE_SECONDS", "-1"),
        ("GRACE_SECONDS", "1.5"),
        ("PREDICTOR_TIMEOUT_SECONDS", "0"),
        ("PREDICTOR_TIMEOUT_SECONDS", "soon"),
    ],
)
def test_a_wrong_value_names_its_variable(variable: str, text: str) -> None:
    with pytest.raises(SettingError) as caught:
        read_settings(Longer, {variable: text})
    assert str(caught.value).startswith(f"{variable}={text!r}: ")
    assert len(str(caught.value)) > len(f"{variable}={text!r}: ")


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert read_settings(ServerSettings, {"MAX_INSTANCES": "", "HOST": ""}) == ServerSettings()


def test_a_service_adds_settings_of_its_own() -> None:
    settings = read_settings(Longer, {"PREDICTOR_TIMEOUT_SECONDS": "0.5", "MAX_INSTANCES": "3"})
    assert isinstance(settings, Longer)
    assert (settings.predictor_timeout_seconds, settings.max_instances) == (0.5, 3)


def test_settings_do_not_change_while_serving() -> None:
    with pytest.raises(ValidationError):
        ServerSettings().max_instances = 5  # type: ignore[misc]
