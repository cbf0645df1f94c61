"""The card of what has just been trained: what it says alike for every task."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from importlib import metadata

from artifact import Architecture, Contract, DataSource, ModelCard, Weights
from artifact.metrics import TaskMetrics
from training.settings import RunSettings

UNWRITTEN = Weights("unwritten.safetensors", "sha256:" + "0" * 64, 1)
"""Stands where ``artifact.write_revision`` puts the file that it writes."""


def new_card(
    settings: RunSettings,
    revision: str,
    contract: Contract,
    data: DataSource,
    metrics: TaskMetrics,
    libraries: Sequence[str],
    temperature: float = 1.0,
) -> ModelCard:
    """A card made now, its weights still unwritten.

    Args:
        libraries: packages whose installed versions it names.
    """
    return ModelCard(
        name=settings.model,
        revision=revision,
        created=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        architecture=Architecture(settings.architecture, settings.arguments),
        contract=contract,
        temperature=temperature,
        weights=UNWRITTEN,
        parent=settings.parent or None,
        data=data,
        training=settings.as_json(),
        metrics=metrics,
        libraries={name: metadata.version(name) for name in libraries},
    )
