"""Limits in a Redis over TLS: the host name and the certificate authority are checked."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from limited import POLICY
from redis_server import RedisServer
from stack import Stack, until

from emulator import tls
from emulator.tls import Certificate
from livetoken.fetch import Http
from livetoken.limits import storages
from livetoken.mistakes import Mistakes
from livetoken.refusals import Reason

pytestmark = pytest.mark.slow
PASSWORD = "p:a/s#s?w@rd%20"


@pytest.fixture(scope="module")
def unknown(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate of an authority that the function does not trust."""
    return tls.certificate(tmp_path_factory.mktemp("unknown"))


@pytest.fixture(params=["known", "unknown"])
def server(
    request: pytest.FixtureRequest, certificate: Certificate, unknown: Certificate, tmp_path: Path
) -> Iterator[RedisServer]:
    made = certificate if request.param == "known" else unknown
    with RedisServer(tmp_path, made, PASSWORD) as started:
        yield started


def uri(server: RedisServer, host: str = "127.0.0.1", options: str = "") -> str:
    return f"async+rediss://default:{quote(PASSWORD, safe='')}@{host}:{server.port}/0{options}"


def limits_hold(alone: Stack, uri: str) -> None:
    with alone.running(POLICY, LIMITS_STORAGE=uri) as livetoken:
        until(lambda: livetoken.ask().status == 200)
        until(lambda: livetoken.ask().status == 429)
        assert PASSWORD not in livetoken.function.output()


def mints_nothing(alone: Stack, uri: str) -> None:
    with alone.running(POLICY, LIMITS_STORAGE=uri) as livetoken:
        for _ in range(3):
            assert livetoken.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
        assert alone.gemini.mints == []
        assert PASSWORD not in livetoken.function.output()


@pytest.mark.parametrize("server", ["known"], indirect=True)
def test_a_known_authority_and_a_password_with_marks_are_accepted(
    alone: Stack, server: RedisServer
) -> None:
    limits_hold(alone, uri(server))


@pytest.mark.parametrize("server", ["unknown"], indirect=True)
def test_an_unknown_authority_is_refused_unless_it_is_named(
    alone: Stack, server: RedisServer, unknown: Certificate
) -> None:
    mints_nothing(alone, uri(server))
    limits_hold(alone, uri(server, options=f"?ssl_ca_certs={quote(str(unknown.ca_file))}"))


@pytest.mark.parametrize("server", ["unknown"], indirect=True)
def test_another_host_name_is_refused_unless_the_authority_alone_is_checked(
    alone: Stack, server: RedisServer, unknown: Certificate, certificate: Certificate
) -> None:
    own, other = (f"?ssl_ca_certs={quote(str(each.ca_file))}" for each in (unknown, certificate))
    host = "127.1"  # the same address, but not a name of it
    mints_nothing(alone, uri(server, host, own))
    mints_nothing(alone, uri(server, host, f"{other}&ssl_check_hostname=false"))
    limits_hold(alone, uri(server, host, f"{own}&ssl_check_hostname=false"))


def test_an_authority_that_cannot_be_read_is_reported_at_the_start() -> None:
    uri = "async+rediss://:hidden@redis.example/0?ssl_ca_certs=/nowhere/ca.pem"
    with pytest.raises(Mistakes, match="which cannot be read") as found:
        storages.opened(uri, Http(), "")
    assert "hidden" not in str(found.value)


@pytest.mark.parametrize("server", ["known"], indirect=True)
def test_without_tls_nothing_is_counted(alone: Stack, server: RedisServer) -> None:
    mints_nothing(alone, uri(server).replace("rediss", "redis"))
