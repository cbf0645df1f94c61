"""OpenVINO: the exported program, in bfloat16 where the processor computes in it.

There it takes half to two thirds of ONNX Runtime's time in float32. A package of its own
(``pip install '.[openvino]'``), which the smallest images go without.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from threading import Lock, get_ident
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from artifact import Contract, Revision
from predictor.engines.engine import Arrays, EngineError, EngineOptions, Session
from predictor.engines.exported import (
    check_names,
    export_refusal,
    load_export,
    needed_bytes,
    onnx_export,
)

if TYPE_CHECKING:
    from openvino import CompiledModel, InferRequest


EXTERNAL = re.compile(rb"[\x00\x08]location")
"""The key that every tensor outside of an ONNX file has, behind its length in either of protobuf's
spellings. OpenVINO would look for it in the folder that the server runs in."""


class OpenVinoEngine:
    """On the CPU, in float32 or bfloat16.

    In float32 ONNX Runtime is asked first: small networks are faster there, and it starts sooner.
    """

    preference = 15

    def refusal(self, revision: Revision, options: EngineOptions) -> str | None:
        if find_spec("openvino") is None:
            return "the package openvino is not installed"
        if options.device != "cpu":
            return f"computes on the CPU, not on {options.device}"
        export = onnx_export(revision)
        if export is not None and export.weights is not None:
            return f"{export.file} has its weights in {export.weights.file}"
        return export_refusal(revision)

    def needed_bytes(self, revision: Revision) -> int:
        return needed_bytes(revision)

    def load(self, revision: Revision, options: EngineOptions) -> Session:
        contract = revision.card.contract
        return load_export(revision, lambda program, _: OpenVinoSession(program, contract, options))


class OpenVinoSession:
    """An ONNX program without external data.

    Raises:
        EngineError: it is none that OpenVINO can run, or its input or outputs are not those of the
            contract.
    """

    warm_up_sizes = (1, 8)

    def __init__(self, program: bytes, contract: Contract, options: EngineOptions) -> None:
        import openvino

        if EXTERNAL.search(program):
            raise EngineError("cannot be loaded: its weights lie in another file")
        self._core = openvino.Core()
        self._settings = {
            # Its own choice is bfloat16 wherever the processor has it.
            "INFERENCE_PRECISION_HINT": "bf16" if options.precision == "bfloat16" else "f32",
            # One thread for each pass, as many passes as there are workers.
            "NUM_STREAMS": options.passes,
            "INFERENCE_NUM_THREADS": options.passes,
            # By place in the machine, which other processes' threads would be bound to as well.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            self._model = model = self._core.read_model(program)
            inputs, outputs = (
                [port.any_name for port in ports] for ports in (model.inputs, model.outputs)
            )
            check_names(inputs, outputs, contract)
            self._compiled: CompiledModel | None = self._compile()
        except RuntimeError as error:
            raise EngineError(f"cannot be loaded: {error}") from None
        self._outputs = range(len(contract.outputs))
        self._size_bytes = len(program)
        self._requests: dict[int, InferRequest] = {}
        self._lock = Lock()

    @property
    def memory_bytes(self) -> int:
        return self._size_bytes

    def run(self, batch: NDArray[np.generic]) -> Arrays:
        """Waits while a thread of OpenVINO's computes: only there can a run be stopped."""
        request = self._request()
        request.start_async({0: batch}, share_inputs=True)
        request.wait()
        # The next run writes over what this one has given.
        return tuple(np.array(request.get_output_tensor(n).data) for n in self._outputs)

    def stop(self, thread: int) -> bool:
        request = self._requests.get(thread)
        if request is not None:
            request.cancel()
            # OpenVINO 2026.4: a run after one that was cancelled may go on with that one's shapes.
            # What was compiled is left to the runs that are on it; the next one compiles anew.
            with self._lock:
                self._compiled, self._requests = None, {}
        return True

    def _request(self) -> InferRequest:
        """Of the thread that asks."""
        with self._lock:
            found = self._requests.get(get_ident())
            if found is None:
                if self._compiled is None:
                    self._compiled = self._compile()
                found = self._requests[get_ident()] = self._compiled.create_infer_request()
        return found

    def _compile(self) -> CompiledModel:
        return self._core.compile_model(self._model, "CPU", self._settings)
