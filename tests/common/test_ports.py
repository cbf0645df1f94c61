from __future__ import annotations

import os
import socket

import pytest

from common.errors import StartError
from common.ports import LOCAL_HOST, free_row, require_free


def test_a_row_of_ports_is_free() -> None:
    row = free_row(4)
    assert len(row) == 4
    for port in row:
        require_free(port)


def test_a_taken_port_is_refused_with_what_it_is_for() -> None:
    with socket.socket() as listener:
        listener.bind((LOCAL_HOST, 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(StartError) as caught:
            require_free(port, "PORT + 1")
        said = str(caught.value)
        assert said.startswith(f"port {port} is taken by process {os.getpid()} (")
        assert said.endswith("): PORT + 1; choose another with PORT=…")


@pytest.mark.parametrize("port", [0, -1, 65536, 70000])
def test_a_number_that_is_not_a_port_is_refused(port: int) -> None:
    with pytest.raises(StartError, match=f"{port} is not a valid port"):
        require_free(port)
