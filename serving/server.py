"""KServe's ModelServer with its edges closed: bound address, error shape, readiness, shutdown."""

from __future__ import annotations

import asyncio
import gc
import logging
import warnings
from typing import Any

import uvloop
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from kserve import errors
from kserve.model_server import ModelServer
from kserve.model_server import app as kserve_application
from kserve.model_server import args as kserve_arguments
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer
from starlette.exceptions import HTTPException

from serving.admission import Admission
from serving.errors import Forbidden, ServingError, UnknownModel
from serving.grpc import GrpcServer, Servicer
from serving.http import Edge, render_error
from serving.model import ServedModel
from serving.protocol import ShortProtocol
from serving.settings import ServerSettings

RENDERED = (
    ServingError,
    HTTPException,
    RequestValidationError,
    NotImplementedError,
    errors.InvalidInput,
    errors.InferenceError,
    errors.ModelNotFound,
    errors.ModelNotReady,
    errors.UnsupportedProtocol,
    errors.ServerNotLive,
    errors.ServerNotReady,
    Exception,
)

GC_THRESHOLD = 20_000
"""New objects between two collections, instead of 700: a request leaves no cycles behind."""

logger = logging.getLogger("serving")


class ClosedRepository(ModelRepositoryExtension):
    """KServe 0.21 lets anybody who reaches the serving port unload a model; this refuses."""

    async def load(self, model_name: str) -> None:
        raise Forbidden("models are chosen when the server starts; this endpoint is closed")

    async def unload(self, model_name: str) -> None:
        raise Forbidden("models are chosen when the server starts; this endpoint is closed")


class ClosedDataPlane(DataPlane):
    """Ready means that every model is; an unready model is never loaded by a request."""

    async def ready(self) -> bool:
        models = self.model_registry.get_models().values()
        return bool(models) and all(model.ready for model in models)

    async def get_model(self, name: str) -> ServedModel:
        model: ServedModel | None = self.model_registry.get_model(name)
        if model is None:
            raise UnknownModel(f"there is no model {name!r} here")
        return model

    def metadata(self) -> dict[str, Any]:
        return {**super().metadata(), "extensions": ["binary_tensor_data"]}


class ClosedRESTServer(RESTServer):
    """KServe's REST server behind ``Edge``, without the timing middleware's log lines."""

    def __init__(
        self, settings: ServerSettings, admission: Admission | None = None, **arguments: Any
    ) -> None:
        super().__init__("kserve.model_server:app", **arguments)
        self._settings = settings
        self._admission = admission or settings.admission()
        self.config.host = settings.host
        self.config.access_log = False
        self.config.server_header = False
        self.config.proxy_headers = False
        self.config.http = ShortProtocol

    def create_application(self) -> None:
        """KServe's application, with ``Edge`` outside of all its middleware."""
        # KServe 0.21 answers with a class that current FastAPI calls deprecated, once a route.
        warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
        super().create_application()
        self.config.app = self.edge(kserve_application)

    def edge(self, app: FastAPI) -> Edge:
        return Edge(app, self.dataplane.model_registry, self._settings, self._admission)

    def _add_middlewares(self, app: FastAPI) -> None:
        """None: KServe's times every request to write four log lines of it."""

    def _add_exception_handlers(self, app: FastAPI) -> None:
        for kind in RENDERED:
            app.add_exception_handler(kind, render_error)


class VisionServer(ModelServer):
    """Starts REST, and gRPC where it is enabled, for models that are already loaded.

    Ports, worker and message limits are KServe's own arguments.
    """

    def __init__(self, settings: ServerSettings, **arguments: Any) -> None:
        super().__init__(grace_period=settings.grace_seconds, **arguments)
        self.settings = settings
        self.dataplane = ClosedDataPlane(model_registry=self.registered_models)
        self.model_repository_extension = ClosedRepository(self.registered_models)
        self._grpc_edge: GrpcServer | None = None

    def start(self, models: list[ServedModel]) -> None:
        """Serve until SIGTERM or SIGINT.

        One process: KServe 0.21 loses the predictor's address in further workers, and scaling
        is the cluster's task.
        """
        self._register_and_check_atleast_one_model_is_ready(models)
        admission = self.settings.admission()
        self._rest_server = ClosedRESTServer(
            self.settings,
            admission,
            data_plane=self.dataplane,
            model_repository_extension=self.model_repository_extension,
            http_port=self.http_port,
            grace_period=self.grace_period,
            event_loop=self.event_loop,
            timeout_keep_alive=self.timeout_keep_alive,
        )
        if self.enable_grpc:
            servicer = Servicer(self.dataplane, self.model_repository_extension, admission)
            self._grpc_edge = GrpcServer(
                servicer,
                self.settings,
                self.grpc_port,
                max_threads=self.max_threads,
                max_received=kserve_arguments.grpc_max_receive_message_length,
                max_sent=kserve_arguments.grpc_max_send_message_length,
            )
            # Before REST, whose readiness is what probes ask for.
            self.servers.append(self._grpc_edge.serve())
        self.servers.append(self._rest_server.start())
        self.register_signal_handler()
        logger.info("serving %s", ", ".join(model.name for model in models))
        # KServe chooses uvloop for workers alone; its sockets cost half of asyncio's.
        # What is here now stays: the collector need not look through it again, nor as often.
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        run = asyncio.run if self.event_loop == "asyncio" else uvloop.run
        run(self._serve())

    async def _serve(self) -> None:
        models = self.registered_models.get_models().values()
        background = [asyncio.create_task(model.started()) for model in models]
        await super()._serve()
        for task in background:
            task.cancel()

    def stop(self, sig: int) -> None:
        """Let gRPC calls in flight finish; uvicorn has done so for HTTP when this is called.

        KServe's own ``stop`` unloads the models first, which fails the calls it then waits for.
        """
        asyncio.get_running_loop().create_task(self._shut_down(sig))

    async def _shut_down(self, sig: int) -> None:
        for model in self.registered_models.get_models().values():
            await model.close()
        if self._grpc_edge:
            await self._grpc_edge.stop()
