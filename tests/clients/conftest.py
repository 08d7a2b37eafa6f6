"""A function that browsers and SDKs reach without TLS, and everything it talks to."""

from collections.abc import Iterator

import pytest
from stack import Stack


@pytest.fixture
def plain(alone: Stack) -> Iterator[Stack]:
    """A function of one's own whose tokens open `ws:` sockets, for clients that know no authority."""
    with alone.running(GOOGLE_GEMINI_BASE_URL=alone.gemini_plain_url, ALLOWED_ORIGINS="*") as started:
        yield started
