"""KServe's arguments that work, seen from outside of a real server."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from common.ports import free_row
from serving.arguments import FLAGS, WORKS
from tests.conftest import ROOT

PREDICT = "/v1/models/sum:predict"
ONE = {"instances": [1, 2]}

SEEN_HERE = {
    *("http_port", "grpc_port", "max_threads", "max_asyncio_workers", "enable_grpc"),
    *("enable_docs_url", "enable_latency_logging", "configure_logging", "log_config_file"),
    *("event_loop", "timeout_keep_alive", "ssl_certfile", "ssl_keyfile"),
    *("grpc_max_send_message_length", "grpc_max_receive_message_length"),
}


def test_every_argument_that_works_is_tried() -> None:
    assert {name for name, how in FLAGS.items() if how == WORKS} == SEEN_HERE


@contextmanager
def serving(
    log: Path,
    arguments: Sequence[str],
    port: int,
    verify: ssl.SSLContext | bool = True,
    more: Mapping[str, str] | None = None,
) -> Iterator[httpx.Client]:
    """A server with ``more`` in its environment, and a client of it; its output goes to ``log``."""
    command = [sys.executable, "-m", "tests.serving.serve", *arguments]
    environment = {**os.environ, "VISION_HOST": "127.0.0.1", "PYTHONUNBUFFERED": "1"}
    environment |= more or {}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    scheme = "http" if verify is True else "https"
    try:
        with httpx.Client(base_url=f"{scheme}://127.0.0.1:{port}", verify=verify) as client:
            deadline = time.monotonic() + 60
            while True:
                try:
                    if client.get("/v2/health/ready").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield client
        process.terminate()
        assert process.wait(30) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_ports_loops_docs_and_latency_logs(tmp_path: Path) -> None:
    (port,) = free_row(1)
    arguments = [
        *(f"--http_port={port}", "--event-loop=asyncio", "--max_asyncio_workers=3"),
        *("--enable_docs_url=true", "--enable_latency_logging=true", "--timeout-keep-alive=1"),
    ]
    log = tmp_path / "log"
    with serving(log, arguments, port) as client:
        assert client.post(PREDICT, json=ONE).json() == {"predictions": [3]}
        assert client.get("/docs").status_code == 200
        facts = client.post(PREDICT, json={"instances": [], "facts": True}).json()
        assert facts["loop"].startswith("asyncio.")
        assert facts["workers"] == 3
        with socket.create_connection(("127.0.0.1", port), 10) as kept:
            kept.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while part := kept.recv(1 << 16):  # until the server closes, a second later
                answer += part
            assert answer.startswith(b"HTTP/1.1 200 ")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line for line in lines if "predict_ms" in line["message"]]


def test_logs_may_be_configured_otherwise(tmp_path: Path) -> None:
    (port,) = free_row(1)
    document = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"odd": {"format": "ODD %(message)s"}},
        "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "odd"}},
        "root": {"level": "INFO", "handlers": ["out"]},
    }
    configuration = tmp_path / "logs.json"
    configuration.write_text(json.dumps(document))
    log = tmp_path / "log"
    arguments = [f"--http_port={port}", f"--log_config_file={configuration}"]
    with serving(log, arguments, port) as client:
        facts = client.post(PREDICT, json={"instances": [], "facts": True}).json()
        assert facts["loop"].startswith("uvloop.")
        assert client.get("/docs").status_code == 404
    assert "ODD serving sum" in log.read_text()
    with serving(log, [f"--http_port={port}", "--configure_logging=false"], port):
        pass
    assert '"logger": "serving"' not in log.read_text()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certfile, keyfile = tmp_path / "cert.pem", tmp_path / "key.pem"
    certfile.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    keyfile.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certfile, keyfile


def request(size: int) -> Any:
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[size])
    tensor.contents.fp32_contents.extend([1.0] * size)
    return pb.ModelInferRequest(model_name="sum", inputs=[tensor])


def test_tls_for_both_protocols_and_grpc_with_its_limits(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    certfile, keyfile = certificate
    port, grpc_port = free_row(2)
    arguments = [
        *(f"--http_port={port}", f"--ssl_certfile={certfile}", f"--ssl_keyfile={keyfile}"),
        *("--enable_grpc=true", f"--grpc_port={grpc_port}", "--max_threads=2"),
        *("--grpc_max_receive_message_length=4096", "--grpc_max_send_message_length=8192"),
    ]
    context = ssl.create_default_context(cafile=str(certfile))
    with serving(tmp_path / "log", arguments, port, context) as client:
        assert client.post(PREDICT, json=ONE).json() == {"predictions": [3]}
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/v2/health/live")
        asyncio.run(_calls(grpc_port, certfile.read_bytes()))


async def _calls(port: int, certificate: bytes) -> None:
    address = f"127.0.0.1:{port}"
    credentials = grpc.ssl_channel_credentials(certificate)
    async with grpc.aio.secure_channel(address, credentials) as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert (await stub.ModelInfer(request(2))).model_version == "3"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ModelInfer(request(2000))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ModelInfer(request(2), compression=grpc.Compression.Gzip)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await GRPCInferenceServiceStub(channel).ServerLive(pb.ServerLiveRequest(), timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_with_a_certificate_the_default_port_is_that_of_https(
    certificate: tuple[Path, Path],
) -> None:
    from serving.arguments import read_arguments, server_arguments
    from serving.server import VisionServer
    from serving.settings import ServerSettings

    files = [f"--ssl_certfile={certificate[0]}", f"--ssl_keyfile={certificate[1]}"]
    options = read_arguments(server_arguments("x", "y"), files)
    server = VisionServer(ServerSettings(), options)
    assert (server.http_port, server.ssl_certfile) == (8443, str(certificate[0]))
