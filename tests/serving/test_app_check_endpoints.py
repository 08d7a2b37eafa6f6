"""App Check's keys and its used-once check, when their endpoints fail."""

import asyncio
import json
import time
from collections.abc import Awaitable, Iterator, Mapping

import pytest
from app_checked import ask, refused_as, rules
from asking import in_a_loop
from stack import Stack
from starlette.responses import Response
from unfit_keys import unfit_keys

from emulator.app_check import AppCheck
from emulator.server import Server
from livetoken import app_check, fetch, google_api, keys
from livetoken.google_api import GoogleApi
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
    """`AppCheck` in this process, with real endpoints and a clock that tests move."""

    def __init__(self, service: AppCheck, url: str) -> None:
        self.service = service
        self.seconds = 1000.0
        self.account_delay = 0.0
        self.http = fetch.Http()
        signing = KeySet(
            self.http,
            f"{url}/v1/jwks",
            keys.jwks,
            unavailable=Reason.APP_CHECK_UNAVAILABLE,
            unknown=Reason.APP_CHECK_FAILED,
            now=lambda: self.seconds,
        )
        self.part = app_check.AppCheck(
            GoogleApi(self.http, self, Reason.APP_CHECK_UNAVAILABLE),
            signing,
            project="demo-livetoken",
            number="123456789012",
            base_url=url,
            apps=(),
        )

    async def headers(self) -> Mapping[str, str]:
        """Those of a service account."""
        await asyncio.sleep(self.account_delay)
        return {"authorization": "Bearer x"}

    def forget(self) -> None: ...

    async def verify(self, token: str | None = None) -> None:
        await self.part.verify(token or self.service.token(), "required")

    async def use(self, token: str | None = None) -> None:
        token = token or self.service.token()
        await self.part.use(app_check.Verified(token, int(time.time()) + 60))


async def refusal(doing: Awaitable[None]) -> Refused:
    with pytest.raises(Refused) as refused:
        await doing
    return refused.value


@pytest.fixture
def part() -> Iterator[Part]:
    service = AppCheck()
    with Server(service.app) as server:
        yield Part(service, server.url)


@pytest.mark.parametrize("fault", ["html", "json", "huge", 301, 404, 500, 503])
@in_a_loop
async def test_a_bad_answer_is_unavailable_until_the_next_fetch(
    part: Part, fault: int | str
) -> None:
    part.service.key_fault = fault
    refused = await refusal(part.verify())
    assert (refused.reason, refused.detail) == (Reason.APP_CHECK_UNAVAILABLE, Detail.NOT_KEYS)
    assert refused.retry_after == keys.RETRY_COLD
    part.service.key_fault = None
    part.seconds += keys.RETRY_COLD
    await part.verify()


@pytest.mark.parametrize(
    "document",
    [
        *(b"", b"{", b"null", b"[]", b"7", b"\xff", b"[" * 10_000, b"{}", b'{"keys": null}'),
        *(b'{"keys": {}}', b'{"keys": "keys"}', b'{"keys": []}'),
        json.dumps({"keys": unfit_keys()}).encode(),
    ],
)
@in_a_loop
async def test_a_document_without_a_fit_key_is_unavailable(document: bytes) -> None:
    with Server(Response(document, media_type="application/json")) as server:
        refused = await refusal(Part(AppCheck(), server.url).verify())
    assert (refused.reason, refused.detail) == (Reason.APP_CHECK_UNAVAILABLE, Detail.NOT_KEYS)


@in_a_loop
async def test_an_unreachable_app_check_is_unavailable() -> None:
    part = Part(AppCheck(), "http://127.0.0.1:1")
    for doing in (part.verify(), part.use()):
        refused = await refusal(doing)
        assert (refused.reason, refused.detail) == (Reason.APP_CHECK_UNAVAILABLE, Detail.CONNECTION)


@in_a_loop
async def test_a_new_key_is_found_and_an_old_one_dropped(part: Part) -> None:
    part.service.max_age = 600
    old = part.service.token()
    await part.verify(old)
    part.service.rotate()
    part.service.drop_old()
    assert (await refusal(part.verify())).detail is Detail.UNKNOWN_KEY
    part.seconds += keys.RETRY_WARM
    await part.verify()
    refused = await refusal(part.verify(old))
    assert (refused.reason, refused.detail) == (Reason.APP_CHECK_FAILED, Detail.UNKNOWN_KEY)
    assert part.service.key_fetches == 2


@in_a_loop
async def test_app_checks_keys_are_kept_for_six_hours_at_most(part: Part) -> None:
    part.service.max_age = 10**6
    await part.verify()
    part.seconds += 6 * 3600 - 1
    await part.verify()
    assert part.service.key_fetches == 1
    part.seconds += 2
    await part.verify()
    assert part.service.key_fetches == 2


@in_a_loop
async def test_the_time_for_the_access_token_is_limited_too(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google_api, "CALL_TIMEOUT", 0.2)
    part.account_delay = 60
    began = time.monotonic()
    refused = await refusal(part.use())
    assert time.monotonic() - began < 2
    assert refused.reason is Reason.APP_CHECK_UNAVAILABLE
    assert refused.retry_after == google_api.RETRY_AFTER
    assert not part.service.checks


@in_a_loop
async def test_the_oldest_used_token_is_forgotten_first(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_check, "MOST_REMEMBERED", 2)
    part.service.access_tokens.add("x")
    first, second, third = tokens = [part.service.token() for _ in range(3)]
    for token in tokens:
        await part.use(token)
    for token in (third, second, first):
        assert (await refusal(part.use(token))).detail is Detail.ALREADY_USED
    assert [each.token for each in part.service.checks] == [*tokens, first]


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"7", b"[]", b'"{}"', b"\xff", b"[" * 4000, b'{"alreadyConsumed": null}']
    + [b'{"alreadyConsumed": %s}' % each for each in (b"0", b"1", b'"true"', b"[]", b"{}")],
)
@in_a_loop
async def test_any_other_body_is_not_a_verdict(body: bytes) -> None:
    with Server(Response(body, media_type="application/json")) as server:
        refused = await refusal(Part(AppCheck(), server.url).use())
    assert (refused.reason, refused.detail) == (
        Reason.APP_CHECK_UNAVAILABLE,
        Detail.NOT_A_VERDICT,
    )
