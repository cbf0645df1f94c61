import pytest

from accounts.settings import SettingError, read_settings

PRODUCTION = {
    "PUBLIC_URL": "https://vision.example",
    "SMTP_HOST": "mail.example",
    "DATABASE_URL": "mysql+pymysql://vision:hush@db/vision",
}


def test_development_needs_nothing_else():
    settings = read_settings({"DEVELOPMENT": "true"})
    assert settings.database_url.get_secret_value().startswith("sqlite:///")


def test_production_has_no_default_that_would_be_a_hole():
    assert read_settings(PRODUCTION).smtp_host == "mail.example"
    for name in ("PUBLIC_URL", "SMTP_HOST"):
        with pytest.raises(SettingError, match=name):
            read_settings({**PRODUCTION, name: ""})
    with pytest.raises(SettingError, match="OIDC_CLIENT_SECRET"):
        read_settings({**PRODUCTION, "OIDC_ISSUER": "https://id.example"})


def test_a_secret_comes_from_a_file(tmp_path):
    path = tmp_path / "url"
    path.write_text("sqlite:////data/accounts.db\n")
    settings = read_settings({"DEVELOPMENT": "1", "DATABASE_URL_FILE": str(path)})
    assert settings.database_url.get_secret_value() == "sqlite:////data/accounts.db"
    assert "data" not in repr(settings.database_url)
    with pytest.raises(SettingError, match="DATABASE_URL_FILE"):
        read_settings({"DEVELOPMENT": "1", "DATABASE_URL_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("name", "value"),
    [("SESSION_HOURS", "soon"), ("PUBLIC_URL", "vision.example"), ("EVENT_DAYS", "1")],
)
def test_a_wrong_value_is_refused_by_name(name, value):
    with pytest.raises(SettingError, match=name):
        read_settings({"DEVELOPMENT": "true", name: value})
