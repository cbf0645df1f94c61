import pytest

from accounts.settings import AccountsSettings
from common.settings import SettingError
from common.settings import read_settings as read


def read_settings(environment):
    return read(AccountsSettings, environment)


PRODUCTION = {
    "VISION_PUBLIC_URL": "https://vision.example",
    "VISION_SMTP_HOST": "mail.example",
    "VISION_DATABASE_URL": "mysql+pymysql://vision:hush@db/vision",
}


def test_development_needs_nothing_else():
    settings = read_settings({"VISION_DEVELOPMENT": "true"})
    assert settings.database_url.get_secret_value().startswith("sqlite:///")


def test_production_has_no_default_that_would_be_a_hole():
    assert read_settings(PRODUCTION).smtp_host == "mail.example"
    for name in ("VISION_PUBLIC_URL", "VISION_SMTP_HOST"):
        with pytest.raises(SettingError, match=name):
            read_settings({**PRODUCTION, name: ""})
    with pytest.raises(SettingError, match="VISION_OIDC_CLIENT_SECRET"):
        read_settings({**PRODUCTION, "VISION_OIDC_ISSUER": "https://id.example"})


def test_a_secret_comes_from_a_file(tmp_path):
    path = tmp_path / "url"
    path.write_text("sqlite:////data/accounts.db\n")
    settings = read_settings({"VISION_DEVELOPMENT": "1", "VISION_DATABASE_URL_FILE": str(path)})
    assert settings.database_url.get_secret_value() == "sqlite:////data/accounts.db"
    assert "data" not in repr(settings.database_url)
    with pytest.raises(SettingError, match="VISION_DATABASE_URL_FILE"):
        read_settings(
            {"VISION_DEVELOPMENT": "1", "VISION_DATABASE_URL_FILE": str(tmp_path / "none")}
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VISION_SESSION_HOURS", "soon"),
        ("VISION_PUBLIC_URL", "vision.example"),
        ("VISION_EVENT_DAYS", "1"),
        ("VISION_OIDC_GROUPS", "admins"),
        ("VISION_OIDC_GROUPS", "admins=king"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name, value):
    with pytest.raises(SettingError, match=name):
        read_settings({"VISION_DEVELOPMENT": "true", name: value})
