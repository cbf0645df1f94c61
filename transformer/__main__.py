"""Start the transformer: ``python -m transformer --model=mnist --model=fashion-mnist``."""

from __future__ import annotations

import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from artifact import ArtifactError, model_contract
from common.logs import configure_logging
from common.settings import SettingError, read_settings
from serving.arguments import ModelSelection, refuse_repeats, server_arguments
from serving.quota import cpu_quota
from serving.server import VisionServer
from transformer.hop import HopSettings, PredictorHop
from transformer.settings import TransformerSettings
from transformer.tasks import model_for

DEFAULT = [ModelSelection("mnist", None), ModelSelection("fashion-mnist", None)]
GATEWAY_PORT = 80
"""Where the cluster's local gateway listens; KServe names the host without a port."""


def main() -> int:
    parser = server_arguments(
        "python -m transformer", "Turns images into tensors and probabilities into labels."
    )
    # KServe's controller appends arguments of its own.
    options, _ = parser.parse_known_args()
    selections: list[ModelSelection] = options.models or DEFAULT
    try:
        settings = read_settings(TransformerSettings, os.environ)
        refuse_repeats(selections)
        if not options.predictor_host:
            raise ValueError("--predictor_host is missing: where is the predictor?")
        host: str = options.predictor_host
        hop = PredictorHop(
            HopSettings(
                target=host if ":" in host else f"{host}:{GATEWAY_PORT}",
                timeout_seconds=settings.predictor_timeout_seconds,
                attempts=settings.predictor_attempts,
                max_message_bytes=settings.predictor_max_bytes,
                use_ssl=options.predictor_use_ssl,
            )
        )
    except (SettingError, ValueError) as error:
        print(f"transformer: {error}", file=sys.stderr)
        return 2
    configure_logging(settings.log_level)
    executor = ThreadPoolExecutor(
        settings.decode_threads or max(1, round(cpu_quota())), thread_name_prefix="decode"
    )
    try:
        models = [
            model_for(
                s.name,
                model_contract(Path(settings.model_root), s.name, s.selector),
                hop,
                executor,
                settings,
            )
            for s in selections
        ]
    except ArtifactError as error:
        logging.getLogger("transformer").critical("%s", error)
        return 1
    VisionServer(settings, enable_grpc=False).start(models)
    return 0


if __name__ == "__main__":
    sys.exit(main())
