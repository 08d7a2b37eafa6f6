"""The real function in a process of its own."""

import errno
import socket

import pytest

from emulator.function import hold_port


def test_nothing_but_a_server_gets_a_held_port() -> None:
    port = hold_port()
    with socket.socket() as other, pytest.raises(OSError) as raised:
        other.bind(("127.0.0.1", port))
    assert raised.value.errno == errno.EADDRINUSE
    for _ in range(2):  # it stays held for the next server, such as a Redis that starts again
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 1)
        with socket.create_server(("127.0.0.1", port)):
            socket.create_connection(("127.0.0.1", port), 1).close()
