"""ONNX Runtime: the program that was exported from the PyTorch network and compared with it.

It computes what the shipped classifiers need in two thirds of PyTorch's time, and starts in a
fraction of it. A file is data to it, not code, and is opened from bytes that the card names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from threading import get_ident
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from artifact import Contract, Revision
from predictor.engines.engine import Arrays, EngineError, EngineOptions, Session
from predictor.engines.exported import check_names, export_refusal, load_export, needed_bytes

SILENT = 4
"""Log level "fatal": what is wrong is raised, and logged as everything else."""


class OnnxRuntimeEngine:
    """On the CPU, in float32."""

    preference = 20

    def refusal(self, revision: Revision, options: EngineOptions) -> str | None:
        if find_spec("onnxruntime") is None:
            return "the package onnxruntime is not installed"
        if options.device != "cpu":
            return f"computes on the CPU, not on {options.device}"
        if options.precision != "float32":
            return f"computes in float32, not in {options.precision}"
        return export_refusal(revision)

    def needed_bytes(self, revision: Revision) -> int:
        return needed_bytes(revision)

    def load(self, revision: Revision, options: EngineOptions) -> Session:
        contract = revision.card.contract
        return load_export(
            revision, lambda program, weights: OnnxSession(program, contract, weights)
        )


class OnnxSession:
    """An ONNX program that names no other file.

    Args:
        weights: its tensors by name, where they are not in it: no more than 2 GB are.

    Raises:
        EngineError: it is none that ONNX Runtime can run, or its input or output is not that of
            the contract.
    """

    warm_up_sizes = (1, 8)

    def __init__(
        self,
        program: bytes,
        contract: Contract,
        weights: Mapping[str, NDArray[Any]] = MappingProxyType({}),
    ) -> None:
        # Read as the library is loaded: without it, builds since 1.32 tell their maker of sessions.
        # What is served here, and how often, is nobody else's to know.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # One thread for each pass: the worker pool computes several side by side.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = SILENT
        # External data would be looked for in the folder that the server runs in; there is none.
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", os.devnull
        )
        # They are taken from these arrays for as long as the session is there.
        self._weights = [onnxruntime.OrtValue.ortvalue_from_numpy(w) for w in weights.values()]
        if weights:
            options.add_external_initializers(list(weights), self._weights)
        try:
            # Installed packages bring further providers, one of which calls a cloud.
            self._session = onnxruntime.InferenceSession(
                program, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no common class
            raise EngineError(f"cannot be loaded: {error}") from None
        inputs = [tensor.name for tensor in self._session.get_inputs()]
        outputs = [tensor.name for tensor in self._session.get_outputs()]
        check_names(inputs, outputs, contract)
        self._input, self._outputs = inputs[0], list(contract.outputs)
        self._size_bytes = len(program) + sum(array.nbytes for array in weights.values())
        self._run_options = onnxruntime.RunOptions
        self._running: dict[int, Any] = {}

    @property
    def memory_bytes(self) -> int:
        return self._size_bytes

    def run(self, batch: NDArray[Any]) -> Arrays:
        # Anew for each run: one that was told to stop would stop the next run, too.
        options = self._run_options()
        options.log_severity_level = SILENT
        self._running[get_ident()] = options
        try:
            return tuple(self._session.run(self._outputs, {self._input: batch}, options))
        finally:
            del self._running[get_ident()]

    def stop(self, thread: int) -> bool:
        options = self._running.get(thread)
        if options is not None:
            options.terminate = True
        return True
