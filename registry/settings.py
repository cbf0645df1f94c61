"""What a registry reads from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from common.settings import Settings

DEFAULT_REGISTRY = "build/registry"


class RegistrySettings(Settings):
    """Of `vision registry`, and of whatever writes its history."""

    registry: str = Field(
        DEFAULT_REGISTRY,
        description="`s3://bucket/prefix` or a folder; S3 by AWS's own variables, such as "
        "`AWS_ENDPOINT_URL_S3`",
    )
    registry_mirror: str = Field(
        "", description="a second place that has every write before it is done; empty: none"
    )
    registry_key: Path | None = Field(
        None, description="private key (Ed25519, PEM) that signs the history"
    )
    registry_trusted_keys: str = Field(
        "", description="public keys, comma-separated; an entry that none of them signed is refused"
    )

    @property
    def trusted_keys(self) -> list[Path]:
        return [Path(name) for name in self.registry_trusted_keys.split(",") if name]
