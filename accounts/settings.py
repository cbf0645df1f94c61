"""Settings from the environment, secrets from files too; refused by name when wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

DATABASE_PATH = "build/accounts/accounts.db"


class SettingError(ValueError):
    """An environment variable has a value that cannot be used; names the variable."""


class AccountsSettings(BaseModel):
    """Each field is the environment variable of its upper-case name.

    A secret may be given as a file instead: ``DATABASE_URL_FILE=/run/secrets/url``.
    """

    model_config = ConfigDict(frozen=True)

    database_url: SecretStr = Field(
        SecretStr(f"sqlite:///{DATABASE_PATH}"),
        description="`sqlite:////file` or `mysql+pymysql://user:password@host/name`",
    )
    development: bool = Field(
        False, description="mail is printed in the log, and cookies work without TLS"
    )
    public_url: str = Field(
        "http://localhost:8080",
        pattern="^https?://[^/]+$",
        description="what people call the service; links in mails and curl commands begin with it",
    )
    prices_file: Path = Field(Path(__file__).with_name("prices.yaml"), description="the price list")
    models: str = Field(
        "mnist fashion-mnist", description="names that the console offers, with spaces between"
    )
    rollout_url: str = Field(
        "", pattern="^(https?://.+)?$", description="where a rollout's record is read, if anywhere"
    )
    rollout_token_file: Path | None = Field(None, description="bearer token to read it with")
    rollout_ca_file: Path | None = Field(None, description="certificates to trust there")
    session_hours: int = Field(12, ge=1, le=720, description="a login lasts that long")
    event_days: int = Field(
        400, ge=62, description="raw events are kept that long; hourly usage and bills for good"
    )
    login_attempts: int = Field(
        10, ge=1, description="failed logins an address or a client may have in 15 minutes"
    )
    registration_attempts: int = Field(
        10, ge=1, description="registrations a client may try in an hour"
    )
    trusted_proxies: int = Field(
        0, ge=0, description="proxies in front that add to `x-forwarded-for`"
    )
    smtp_host: str = Field("", description="mail server; needed outside development")
    smtp_port: int = Field(587, ge=1, le=65535, description="its port")
    smtp_user: str = Field("", description="login at it, if it wants one")
    smtp_password: SecretStr = Field(SecretStr(""), description="password for that")
    smtp_tls: bool = Field(True, description="STARTTLS before anything is sent")
    mail_from: str = Field("vision@localhost", description="sender of mails")
    oidc_issuer: str = Field(
        "", pattern="^(https?://.+)?$", description="OpenID Connect provider to log in by, if any"
    )
    oidc_client_id: str = Field("", description="our name there")
    oidc_client_secret: SecretStr = Field(SecretStr(""), description="our secret there")

    @model_validator(mode="after")
    def _production_is_complete(self) -> AccountsSettings:
        if self.development:
            return self
        if not self.smtp_host:
            raise ValueError("SMTP_HOST is missing; only DEVELOPMENT=true prints mail in the log")
        if not self.public_url.startswith("https://"):
            raise ValueError("PUBLIC_URL must begin with https:// unless DEVELOPMENT=true")
        if self.oidc_issuer and not self.oidc_client_secret.get_secret_value():
            raise ValueError("OIDC_ISSUER needs OIDC_CLIENT_SECRET")
        return self


def read_settings(environment: Mapping[str, str]) -> AccountsSettings:
    """Build the settings from environment variables.

    Raises:
        SettingError: naming the variable and what is wrong with it; never a secret's value.
    """
    values: dict[str, Any] = {}
    for name in AccountsSettings.model_fields:
        variable = name.upper()
        if file := environment.get(f"{variable}_FILE", ""):
            try:
                values[name] = Path(file).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise SettingError(f"{variable}_FILE={file!r}: {error.strerror}") from None
        elif environment.get(variable, "") != "":
            values[name] = environment[variable]
    try:
        return AccountsSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = f"{str(first['loc'][0]).upper()}: " if first["loc"] else ""
        raise SettingError(where + first["msg"].removeprefix("Value error, ")) from None
