"""KServe's ModelServer with its edges closed: bound address, error shape, readiness, shutdown."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import warnings
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import kserve.logging
import uvloop
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from kserve.model_repository import ModelRepository
from kserve.model_server import ModelServer
from kserve.model_server import app as kserve_application
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer

from common.logs import configure_logging
from common.origins import (
    ANSWER_HEADERS,
    MAX_AGE_SECONDS,
    METHODS,
    REQUEST_HEADERS,
    read_origins,
)
from common.otlp import MetricPush, is_switched_on
from serving.connection import FirstHead
from serving.edge import Edge
from serving.errors import ForbiddenError, ModelNotFoundError
from serving.fast_path import FastPath
from serving.grpc import GrpcServer, Servicer
from serving.heartbeat import Heartbeat
from serving.model import ServedModel
from serving.quota import cpu_quota
from serving.rendering import RENDERED, render_error
from serving.scheduling.admission import Admission
from serving.settings import ServerSettings
from serving.tracing import TRACING

GC_THRESHOLD = 20_000
"""New objects between two collections, instead of 700: a request leaves no cycles behind."""

HealthCheck = Callable[[], Awaitable[bool]]

logger = logging.getLogger("serving")


class ClosedRepository(ModelRepositoryExtension):
    """KServe 0.21 lets anybody who reaches the serving port unload a model; this refuses."""

    async def load(self, model_name: str) -> None:
        raise ForbiddenError("models are chosen when the server starts; this endpoint is closed")

    async def unload(self, model_name: str) -> None:
        raise ForbiddenError("models are chosen when the server starts; this endpoint is closed")


class ClosedDataPlane(DataPlane):
    """Ready means that every model is, but for those that are loaded by their requests.

    Args:
        also_ready: asked too, whenever readiness is.
    """

    def __init__(
        self, model_registry: ModelRepository, also_ready: HealthCheck | None = None
    ) -> None:
        super().__init__(model_registry)
        self._also_ready = also_ready

    async def ready(self) -> bool:
        models = self.model_registry.get_models().values()
        if not models or not all(model.ready or model.on_demand for model in models):
            return False
        return self._also_ready is None or await self._also_ready()

    def get_model_from_registry(self, name: str) -> ServedModel:
        model: ServedModel | None = self.model_registry.get_model(name)
        if model is None:
            raise ModelNotFoundError.named(name, self.model_registry.get_models())
        return model

    async def get_model(self, name: str) -> ServedModel:
        return self.get_model_from_registry(name)

    async def model_ready(
        self, model_name: str, disable_predictor_health_check: bool = False
    ) -> bool:
        self.get_model_from_registry(model_name)
        ready: bool = await super().model_ready(model_name, disable_predictor_health_check)
        return ready

    def metadata(self) -> dict[str, Any]:
        return {**super().metadata(), "extensions": ["binary_tensor_data"]}


class ClosedRESTServer(RESTServer):
    """KServe's REST server, on a chosen address, with ``Edge`` as the outermost middleware."""

    def __init__(self, settings: ServerSettings, admission: Admission, **arguments: Any) -> None:
        super().__init__("kserve.model_server:app", **arguments)
        self._settings = settings
        self._admission = admission
        self.config.host = settings.host
        self.config.access_log = False
        self.config.server_header = False
        self.config.proxy_headers = False
        self.config.ws = "none"
        self.config.http = FirstHead

    def create_application(self) -> None:
        # KServe 0.21 answers with a class that current FastAPI calls deprecated, once per route.
        warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
        super().create_application()  # type: ignore[no-untyped-call]
        models = self.dataplane.model_registry
        close_edges(kserve_application, models, self._settings, self._admission)


def close_edges(
    app: FastAPI, models: ModelRepository, settings: ServerSettings, admission: Admission
) -> None:
    """Give KServe's application the one error shape, and ``Edge`` outside of its middleware."""
    for kind in RENDERED:
        app.add_exception_handler(kind, render_error)
    # A redirect to the path without its slash would name http, whatever TLS ends in front.
    app.router.redirect_slashes = False
    app.add_middleware(Edge, models=models, settings=settings, admission=admission)
    if origins := read_origins(settings.cors_origins):
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=ANSWER_HEADERS,
            max_age=MAX_AGE_SECONDS,
        )


class VisionServer(ModelServer):
    """Starts REST, and gRPC where it is enabled, for models that are already loaded.

    Args:
        options: KServe's arguments, as ``serving.arguments`` reads them.
        also_ready: asked whenever readiness is, beside every model's.
        heartbeat: ends the process where it hangs and no probe would find out.
        service: what it is called in traces and pushed metrics, where OTEL_* say nothing.
    """

    def __init__(
        self,
        settings: ServerSettings,
        options: argparse.Namespace,
        also_ready: HealthCheck | None = None,
        heartbeat: Heartbeat | None = None,
        service: str = "vision",
    ) -> None:
        super().__init__(
            http_port=options.http_port,
            grpc_port=options.grpc_port,
            max_threads=options.max_threads,
            max_asyncio_workers=options.max_asyncio_workers,
            enable_grpc=options.enable_grpc,
            enable_latency_logging=options.enable_latency_logging,
            event_loop=options.event_loop,
            timeout_keep_alive=options.timeout_keep_alive,
            grace_period=settings.grace_seconds,
            ssl_certfile=options.ssl_certfile,
            ssl_keyfile=options.ssl_keyfile,
        )
        self.settings = settings
        self.options = options
        self.dataplane = ClosedDataPlane(self.registered_models, also_ready)
        self.model_repository_extension = ClosedRepository(self.registered_models)
        self._heartbeat = heartbeat
        self._service = service
        self._grpc_edge: GrpcServer | None = None
        self.models: Sequence[ServedModel] = ()

    def start(self, models: Sequence[ServedModel]) -> None:  # type: ignore[override]
        """Serve until SIGTERM or SIGINT.

        One process: KServe 0.21 loses the predictor's address in further workers, and scaling
        is the cluster's task.
        """
        self.models = models
        for model in models:
            self.register_model(model)
            model.enable_latency_logging = self.enable_latency_logging
            if self.settings.fast_path and not self.enable_latency_logging:
                model.fast_path = FastPath(model)
        admission = self.settings.admission()
        if self.enable_grpc:
            self._grpc_edge = self._make_grpc_edge(admission)
            # Before REST, whose readiness is what probes ask for.
            self.servers.append(self._grpc_edge.serve())
        rest = ClosedRESTServer(
            self.settings,
            admission,
            data_plane=self.dataplane,
            model_repository_extension=self.model_repository_extension,
            http_port=self.http_port,
            grace_period=self.grace_period,
            event_loop=self.event_loop,
            timeout_keep_alive=self.timeout_keep_alive,
            ssl_certfile=self.ssl_certfile,
            ssl_keyfile=self.ssl_keyfile,
        )
        self.servers.append(rest.start())  # type: ignore[no-untyped-call]
        self.register_signal_handler()  # type: ignore[no-untyped-call]
        logger.info("serving %s", ", ".join(model.name for model in models))
        # What is here now stays: the collector need not look through it again, nor as often.
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        # KServe chooses uvloop for workers alone; its sockets cost half of asyncio's.
        run = asyncio.run if self.event_loop == "asyncio" else uvloop.run
        TRACING.start(self._service, os.environ)
        push = None
        if is_switched_on("metrics", os.environ):
            push = MetricPush(self._service, os.environ)
        try:
            run(self.serve())
        finally:
            # When the last request is answered, so that nothing of what was counted is lost.
            TRACING.stop()
            if push is not None:
                push.stop()

    async def serve(self) -> None:
        """Run all servers until they have stopped."""
        workers = self.max_asyncio_workers or min(32, round(cpu_quota()) + 4)
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(workers))
        if self._heartbeat is not None:
            self._heartbeat.start(asyncio.get_running_loop())
        background = [asyncio.create_task(model.started()) for model in self.models]
        await asyncio.gather(*self.servers)
        if self._heartbeat is not None:
            self._heartbeat.stop()
        for task in background:
            task.cancel()

    def stop(self, sig: int) -> None:
        """Let gRPC calls in flight finish; uvicorn has done so for HTTP when this is called.

        KServe's own ``stop`` unloads the models first, which fails the calls it then waits for.
        """
        asyncio.get_running_loop().create_task(self._shut_down())

    async def _shut_down(self) -> None:
        for model in self.models:
            await model.close()
        if self._grpc_edge:
            await self._grpc_edge.stop()

    def _make_grpc_edge(self, admission: Admission) -> GrpcServer:
        tls = None
        if self.ssl_certfile and self.ssl_keyfile:
            tls = (Path(self.ssl_keyfile).read_bytes(), Path(self.ssl_certfile).read_bytes())
        return GrpcServer(
            Servicer(self.dataplane, self.model_repository_extension, admission),
            self.settings,
            self.grpc_port,
            max_threads=self.max_threads,
            max_received=self.options.grpc_max_receive_message_length,
            max_sent=self.options.grpc_max_send_message_length,
            tls=tls,
        )


def configure_logs(settings: ServerSettings, options: argparse.Namespace) -> None:
    """Send logs where KServe's arguments say, else through the one formatter.

    Raises:
        ValueError, OSError: the file they name cannot be used.
    """
    if not options.configure_logging:
        return
    if options.log_config_file:
        kserve.logging.configure_logging(options.log_config_file)
        return
    configure_logging(settings.log_level)
    if options.enable_latency_logging:
        kserve.logging.trace_logger.setLevel(logging.INFO)
