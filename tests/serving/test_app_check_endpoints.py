"""App Check's keys and its used-once check, when their endpoints fail."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import pytest
from app_checked import ask, refused_as, rules
from stack import Stack
from starlette.responses import Response
from unfit_keys import unfit_keys

from emulator.app_check import AppCheck
from emulator.server import Server
from livetoken import app_check, fetch, keys
from livetoken.keys import KeySet
from livetoken.refusals import Detail, Reason, Refused


@pytest.mark.provokes(Reason.APP_CHECK_UNAVAILABLE)
def test_without_keys_every_token_gets_503_until_they_can_be_fetched(alone: Stack) -> None:
    alone.app_check.key_fault = 500
    with alone.running(rules("required")) as livetoken:
        token = alone.app_check.token()
        answer = ask(livetoken, token)
        assert answer.is_refusal(Reason.APP_CHECK_UNAVAILABLE)
        assert refused_as(livetoken, None) == "NO_TOKEN"
        assert not alone.gemini.mints
        alone.app_check.key_fault = None
        time.sleep(int(answer.headers["retry-after"]))
        assert ask(livetoken, token).status == 200


class Part:
    """`AppCheck` in this process, with a clock that tests set and real endpoints."""

    def __init__(
        self, url: str, clock: Callable[[], float], credentials: app_check.Credentials | None
    ) -> None:
        http = fetch.Http()
        self.part = app_check.AppCheck(
            http,
            KeySet(
                http,
                f"{url}/v1/jwks",
                keys.jwks,
                unavailable=Reason.APP_CHECK_UNAVAILABLE,
                unknown=Reason.APP_CHECK_FAILED,
                now=clock,
            ),
            project="demo-livetoken",
            number="123456789012",
            base_url=url,
            credentials=credentials,
        )

    async def refusal(self, doing: Awaitable[None]) -> Refused:
        with pytest.raises(Refused) as refused:
            await doing
        return refused.value


def with_part(
    service: AppCheck,
    test: Callable[[Part, list[float]], Coroutine[Any, Any, None]],
    credentials: app_check.Credentials | None = None,
) -> None:
    seconds = [1000.0]
    with Server(service.app) as server:
        asyncio.run(test(Part(server.url, lambda: seconds[0], credentials), seconds))


@pytest.mark.parametrize("fault", ["html", "json", "huge", 301, 404, 500, 503])
def test_a_bad_answer_is_unavailable_until_the_next_fetch(fault: int | str) -> None:
    service = AppCheck()
    service.key_fault = fault

    async def test(part: Part, seconds: list[float]) -> None:
        refused = await part.refusal(part.part.verify(service.token()))
        assert (refused.reason, refused.detail) == (Reason.APP_CHECK_UNAVAILABLE, Detail.NOT_KEYS)
        assert refused.retry_after == keys.RETRY_COLD
        service.key_fault = None
        seconds[0] += keys.RETRY_COLD
        await part.part.verify(service.token())

    with_part(service, test)


@pytest.mark.parametrize(
    "document",
    [
        *(b"", b"{", b"null", b"[]", b"7", b"\xff", b"[" * 10_000, b"{}", b'{"keys": null}'),
        *(b'{"keys": {}}', b'{"keys": "keys"}', b'{"keys": []}'),
        json.dumps({"keys": unfit_keys()}).encode(),
    ],
)
def test_a_document_without_a_fit_key_is_unavailable(document: bytes) -> None:
    async def test(url: str) -> None:
        part = Part(url, time.monotonic, None)
        refused = await part.refusal(part.part.verify(AppCheck().token()))
        assert (refused.reason, refused.detail) == (Reason.APP_CHECK_UNAVAILABLE, Detail.NOT_KEYS)

    with Server(Response(document, media_type="application/json")) as server:
        asyncio.run(test(server.url))


def test_an_unreachable_app_check_is_unavailable() -> None:
    class Anybody:
        async def headers(self) -> Mapping[str, str]:
            return {"authorization": "Bearer x"}

        def forget(self) -> None: ...

    async def test() -> None:
        part, token = Part("http://127.0.0.1:1", time.monotonic, Anybody()), AppCheck().token()
        for doing in (part.part.verify(token), part.part.use(token)):
            refused = await part.refusal(doing)
            assert refused.reason is Reason.APP_CHECK_UNAVAILABLE
            assert refused.detail is Detail.CONNECTION

    asyncio.run(test())


def test_a_new_key_is_found_and_an_old_one_dropped() -> None:
    service = AppCheck(max_age=600)

    async def test(part: Part, seconds: list[float]) -> None:
        old = service.token()
        await part.part.verify(old)
        service.rotate()
        service.drop_old()
        assert (await part.refusal(part.part.verify(service.token()))).detail is Detail.UNKNOWN_KEY
        seconds[0] += keys.RETRY_WARM
        await part.part.verify(service.token())
        refused = await part.refusal(part.part.verify(old))
        assert (refused.reason, refused.detail) == (Reason.APP_CHECK_FAILED, Detail.UNKNOWN_KEY)
        assert service.key_fetches == 2

    with_part(service, test)


def test_app_checks_keys_are_kept_for_six_hours_at_most() -> None:
    service = AppCheck(max_age=10**6)

    async def test(part: Part, seconds: list[float]) -> None:
        await part.part.verify(service.token())
        seconds[0] += 6 * 3600 - 1
        await part.part.verify(service.token())
        assert service.key_fetches == 1
        seconds[0] += 2
        await part.part.verify(service.token())
        assert service.key_fetches == 2

    with_part(service, test)


def test_the_time_for_the_access_token_is_limited_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        async def headers(self) -> Mapping[str, str]:
            await asyncio.sleep(60)
            return {}

        def forget(self) -> None: ...

    monkeypatch.setattr(app_check, "CHECK_TIMEOUT", 0.2)
    service = AppCheck()

    async def test(part: Part, _: list[float]) -> None:
        refused = await part.refusal(part.part.use(service.token()))
        assert refused.reason is Reason.APP_CHECK_UNAVAILABLE
        assert refused.retry_after == app_check.RETRY_AFTER

    began = time.monotonic()
    with_part(service, test, Slow())
    assert time.monotonic() - began < 2
    assert not service.checks


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"7", b"[]", b'"{}"', b"\xff", b"[" * 4000, b'{"alreadyConsumed": null}']
    + [b'{"alreadyConsumed": %s}' % each for each in (b"0", b"1", b'"true"', b"[]", b"{}")],
)
def test_any_other_body_is_not_a_verdict(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        app_check._already_used(body)
    assert refused.value.reason is Reason.APP_CHECK_UNAVAILABLE
