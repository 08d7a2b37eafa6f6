"""The HTTP client: whether a request was sent decides whether a mint may have happened."""

import asyncio
import socket
from threading import Thread

import pytest

from emulator.function import hold_port
from livetoken.fetch import Http, NotConnected, Unreachable


def post(port: int) -> None:
    asyncio.run(Http().post(f"http://127.0.0.1:{port}", b"{}", credentials={}, seconds=5))


def test_a_refused_connection_was_not_sent() -> None:
    """hyper only says so in the text of its error; this test fails if the text changes."""
    with pytest.raises(NotConnected):
        post(hold_port())


def test_a_connection_that_is_cut_may_have_been_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def cut() -> None:
            connection, _ = server.accept()
            connection.recv(65_536)
            connection.close()

        thread = Thread(target=cut)
        thread.start()
        with pytest.raises(Unreachable) as raised:
            post(server.getsockname()[1])
        thread.join()
    assert type(raised.value) is Unreachable
