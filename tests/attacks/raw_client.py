"""A client that sends bytes as they are and reads every answer."""

import json
import socket
from typing import Self

from stack import Answer

PROBE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
"""A request that is refused with 405. It shows what a connection takes for the next request."""


class Wire:
    """A connection.

    Args:
        port: the server's on 127.0.0.1.
        seconds: how long to wait for bytes.
    """

    def __init__(self, port: int, seconds: float = 15) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes, *, at_once: int | None = None) -> bool:
        """Send bytes, `at_once` of them at a time. Return whether the server was still there."""
        size = at_once or len(data) or 1
        try:
            for start in range(0, len(data), size):
                self._socket.sendall(data[start : start + size])
        except ConnectionError:
            return False  # the answer can be read all the same
        return True

    def answer(self) -> Answer | None:
        """Return the next final answer, or None if the connection ends before its first byte."""
        while b"\r\n\r\n" not in self._read:
            if not self._more():
                assert not self._read, "half an answer"
                return None
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        line, *lines = head.decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (each.partition(": ") for each in lines)
        }
        status = int(line.split(" ")[1])
        if status == 100:
            return self.answer()
        length = int(headers["content-length"])
        while len(self._read) < length:
            assert self._more(), "half an answer"
        body, self._read = self._read[:length], self._read[length:]
        return Answer(status, headers, body)

    def only_answer(self) -> Answer | None:
        """Return the answer to the one request that was sent.

        Afterwards the connection is closed, or the next request on it is answered as itself.
        """
        answer = self.answer()
        if answer is not None and answer.headers.get("connection") != "close":
            self.send(PROBE)
            probed = self.answer()
            assert probed is not None
            assert probed.status == 405, "the request was read as more than one"
        assert self.answer() is None, "the request was read as more than one"
        return answer

    def _more(self) -> bool:
        try:
            data = self._socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self._read += data
        return bool(data)


def said(answer: Answer | None) -> str:
    """Return what an answer says, in the words of `RawRequest.answer`."""
    if answer is None:
        return ""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return str(answer.status)  # the server's own words
    if answer.status == 200:
        return str(document.get("result", document)["profile"])
    return str(document["error"]["details"]["reason"])
