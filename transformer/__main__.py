"""Start the transformer: ``python -m transformer --model=mnist --model=fashion-mnist``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kserve.model_server import app as kserve_application
from pydantic import ValidationError

from artifact import ArtifactError, Contract, model_contracts
from common.settings import SettingError, read_settings
from serving.arguments import (
    ArgumentError,
    ModelSelection,
    read_arguments,
    server_arguments,
)
from serving.quota import cpu_quota
from serving.selection import select
from serving.server import VisionServer, configure_logs
from transformer.contracts import served_model
from transformer.front_page import FrontPage
from transformer.hop import ClientSettings, PredictorClient
from transformer.settings import TransformerSettings

GATEWAY_PORT = 80
"""Where the cluster's local gateway listens; KServe names the host without a port."""


def main() -> int:
    parser = server_arguments(
        "python -m transformer", "Turns images into tensors and probabilities into labels."
    )
    try:
        options = read_arguments(parser, transformer=True)
        settings = with_arguments(read_settings(TransformerSettings, os.environ), options)
        if not options.predictor_host:
            raise ValueError("--predictor_host is missing: where is the predictor?")
        host: str = options.predictor_host
        hop = PredictorClient(
            ClientSettings(
                target=host if ":" in host else f"{host}:{GATEWAY_PORT}",
                timeout_seconds=settings.predictor_timeout_seconds,
                attempts=settings.predictor_attempts,
                max_message_bytes=settings.predictor_max_bytes,
                use_ssl=bool(options.predictor_use_ssl),
            )
        )
        configure_logs(settings, options)
    except (SettingError, ValueError, OSError) as error:
        print(f"transformer: {error}", file=sys.stderr)
        return 2
    everything = [ModelSelection("", settings.model_root)]
    selections: list[ModelSelection] = options.models or everything
    executor = ThreadPoolExecutor(
        settings.decode_threads or max(1, round(cpu_quota())), thread_name_prefix="decode"
    )
    try:
        models = [
            served_model(name, found, hop, executor, settings)
            for name, found in contracts(selections, Path(settings.model_root), options).items()
        ]
    except ArtifactError as error:
        for line in str(error).splitlines():
            logging.getLogger("transformer").critical("%s", line)
        return 1
    also_ready = hop.is_ready if options.enable_predictor_health_check else None
    kserve_application.add_middleware(FrontPage, models=[model.name for model in models])
    VisionServer(settings, options, also_ready, service="vision-transformer").start(models)
    return 0


def contracts(
    selections: Sequence[ModelSelection], root: Path, options: argparse.Namespace
) -> dict[str, list[Contract]]:
    """The contracts of each model, the newest first, by the name that it is served as.

    Raises:
        ArtifactError: a card is missing or invalid, or two revisions of a model disagree.
    """
    found: dict[str, list[Contract]] = {}
    for selection in selections:
        if selection.name:
            found[selection.name] = model_contracts(root, selection.name, selection.selector)
            continue
        for name, revision, _ in select(selection, root, options):
            found[name] = [revision.card.contract]
    return found


def with_arguments(
    settings: TransformerSettings, options: argparse.Namespace
) -> TransformerSettings:
    """The settings with what KServe's arguments say about the same."""
    changes: dict[str, object] = {}
    if options.predictor_request_timeout_seconds is not None:
        changes["predictor_timeout_seconds"] = options.predictor_request_timeout_seconds
    if options.predictor_request_retries is not None:
        changes["predictor_attempts"] = 1 + options.predictor_request_retries
    try:
        return TransformerSettings.model_validate({**settings.model_dump(), **changes})
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        argument = {
            "predictor_timeout_seconds": "--predictor_request_timeout_seconds",
            "predictor_attempts": "--predictor_request_retries",
        }[field]
        raise ArgumentError(f"{argument}: {error.errors()[0]['msg']}") from None


if __name__ == "__main__":
    sys.exit(main())
