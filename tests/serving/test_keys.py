"""The cache of signing keys: when it fetches, and what callers get if a fetch fails."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from asking import in_a_loop
from google.auth.crypt import RSAVerifier
from stack import Stack, until

from emulator.issuer import BAD_PEM, Issuer, signing_key
from emulator.server import Server
from livetoken import fetch, keys
from livetoken.keys import KeySet
from livetoken.refusals import Reason, Refused

# ------------------------------------------------------------------ over HTTP


def test_keys_are_fetched_before_the_first_caller_and_not_for_callers(alone: Stack) -> None:
    with alone.running() as livetoken:
        until(lambda: alone.issuer.fetches == 2)
        for _ in range(10):
            assert livetoken.ask().status == 200
        for number in range(40):
            claims, header = alone.issuer.claims("ada"), {"kid": f"junk{number}"}
            token = alone.issuer.sign(claims, kind="firebase", header=header)
            assert livetoken.ask(token=token).is_refusal(Reason.INVALID_ID_TOKEN)
        for junk in ("", "x", "a.b.c", "e30.e30.AA"):
            assert livetoken.ask(token=junk or None).status == 401
        assert alone.issuer.fetches == 2


@pytest.mark.provokes(Reason.KEYS_UNAVAILABLE)
def test_without_keys_every_request_gets_503_until_they_can_be_fetched(alone: Stack) -> None:
    """And a failing endpoint is asked once in `RETRY_COLD` seconds, however many requests come."""
    alone.issuer.key_fault = 500
    with alone.running() as livetoken, ThreadPoolExecutor(16) as callers:
        until(lambda: alone.issuer.fetches >= 2)
        began, before = time.monotonic(), alone.issuer.fetches
        answers = list(callers.map(lambda _: livetoken.ask(), range(32)))
        assert all(answer.is_refusal(Reason.KEYS_UNAVAILABLE) for answer in answers)
        assert alone.issuer.fetches - before <= 1 + (time.monotonic() - began) / keys.RETRY_COLD
        assert not alone.gemini.mints
        alone.issuer.key_fault = None
        time.sleep(int(answers[-1].headers["retry-after"]))
        assert livetoken.ask().status == 200


def test_one_issuers_missing_keys_do_not_refuse_the_other_issuers_callers(alone: Stack) -> None:
    with alone.running(FIREBASE_KEYS_URL="http://127.0.0.1:1/keys") as livetoken:
        assert livetoken.ask().is_refusal(Reason.KEYS_UNAVAILABLE)
        assert livetoken.ask(token=alone.issuer.id_token("grace")).status == 200


def test_bad_certificates_are_passed_over(alone: Stack) -> None:
    bad: dict[int, Any] = dict(enumerate([BAD_PEM, "", "café", None, 7, ["a"], {"kid": "a"}]))
    alone.issuer.also = lambda: {f"bad-{number}": each for number, each in bad.items()}
    with alone.running() as livetoken:
        assert livetoken.ask().status == 200
        for number in bad:
            header = {"kid": f"bad-{number}"}
            token = alone.issuer.sign(alone.issuer.claims("ada"), header=header)
            assert livetoken.ask(token=token).is_refusal(Reason.INVALID_ID_TOKEN)


# ------------------------------------------------------------------ with a clock to set


class Cache:
    """A key set that fetches from an issuer's endpoint, with a clock that tests move."""

    def __init__(self, issuer: Issuer, url: str) -> None:
        self.issuer = issuer
        self.seconds = 1000.0
        self.http = fetch.Http()
        self.keys, self.others = (
            KeySet(self.http, f"{url}/keys/{kind}", keys.certificates, now=lambda: self.seconds)
            for kind in ("firebase", "google")
        )
        self.kid: str = issuer.header("firebase")["kid"]

    async def key(self, kid: str | None = None) -> RSAVerifier:
        (key,) = (await keys.find([self.keys], kid or self.kid)).values()
        return key

    async def both(self, kid: str) -> set[KeySet]:
        """Which of the two sets have a key."""
        return {*await keys.find([self.keys, self.others], kid)}

    async def reason(self, kid: str | None = None) -> Reason:
        with pytest.raises(Refused) as refusal:
            await self.key(kid)
        return refusal.value.reason


@pytest.fixture
def cache() -> Iterator[Cache]:
    issuer = Issuer()
    issuer.max_age = 600
    with Server(issuer.app) as server:
        yield Cache(issuer, server.url)


@pytest.mark.parametrize("fault", ["html", "badpem", "json", "huge", 404, 500, 301])
@in_a_loop
async def test_a_bad_answer_is_unavailable_until_the_next_fetch(
    cache: Cache, fault: int | str
) -> None:
    cache.issuer.key_fault = fault
    assert await cache.reason() is Reason.KEYS_UNAVAILABLE
    cache.issuer.key_fault = None
    cache.seconds += keys.RETRY_COLD
    await cache.key()


@in_a_loop
async def test_a_fetch_takes_five_seconds_at_most(cache: Cache) -> None:
    cache.issuer.key_fault = "slow"
    began = time.monotonic()
    assert await cache.reason() is Reason.KEYS_UNAVAILABLE
    assert 4.5 < time.monotonic() - began < keys.FETCH_TIMEOUT + 2


@in_a_loop
async def test_keys_are_kept_for_their_max_age(cache: Cache) -> None:
    await cache.key()
    cache.seconds += 599
    await cache.key()
    assert cache.issuer.fetches == 1
    cache.seconds += 2
    await cache.key()
    assert cache.issuer.fetches == 2


@in_a_loop
async def test_a_herd_of_cold_callers_makes_one_fetch(cache: Cache) -> None:
    await asyncio.gather(*(cache.key() for _ in range(50)))
    assert cache.issuer.fetches == 1


@in_a_loop
async def test_a_caller_who_disconnects_does_not_cancel_the_others_fetch(cache: Cache) -> None:
    cache.issuer.key_fault, cache.issuer.key_delay = "slow", 0.3
    leaving = asyncio.create_task(cache.key())
    await asyncio.sleep(0.1)
    staying = asyncio.create_task(cache.key())
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert cache.issuer.fetches == 1


@in_a_loop
async def test_stale_keys_serve_for_an_hour_and_no_longer(cache: Cache) -> None:
    await cache.key()
    cache.issuer.key_fault = 500
    cache.seconds += 600 + keys.STALE_FOR - 1
    await cache.key()
    cache.seconds += 2
    assert await cache.reason() is Reason.KEYS_UNAVAILABLE
    cache.issuer.key_fault = None
    cache.seconds += keys.RETRY_COLD
    await cache.key()


@in_a_loop
async def test_one_caller_refreshes_stale_keys_and_the_others_do_not_wait(cache: Cache) -> None:
    await cache.key()
    cache.seconds += 601
    cache.issuer.key_fault = "slow"
    refreshing = asyncio.create_task(cache.key())
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await asyncio.gather(*(cache.key() for _ in range(20)))
    assert time.monotonic() - began < 1
    assert not refreshing.done()
    refreshing.cancel()


@in_a_loop
async def test_a_failed_refresh_is_not_tried_again_at_once(cache: Cache) -> None:
    await cache.key()
    cache.issuer.key_fault = 500
    cache.seconds += 601
    for _ in range(10):
        await cache.key()
    assert cache.issuer.fetches == 2
    cache.seconds += keys.RETRY_WARM
    await cache.key()
    assert cache.issuer.fetches == 3


@in_a_loop
async def test_a_new_key_is_found_after_half_a_minute(cache: Cache) -> None:
    await cache.key()
    cache.issuer.rotate("firebase")
    new = cache.issuer.header("firebase")["kid"]
    assert new != cache.kid
    assert await cache.reason(new) is Reason.INVALID_ID_TOKEN
    cache.seconds += keys.RETRY_WARM
    await cache.key(new)
    assert cache.issuer.fetches == 2


@in_a_loop
async def test_a_key_that_cannot_be_looked_up_is_not_called_invalid(cache: Cache) -> None:
    await cache.key()
    cache.issuer.key_fault = 500
    cache.seconds += keys.RETRY_WARM
    assert await cache.reason("new") is Reason.KEYS_UNAVAILABLE


@in_a_loop
async def test_a_dropped_key_is_gone_after_a_refresh(cache: Cache) -> None:
    await cache.key()
    cache.issuer.rotate("firebase")
    cache.issuer.drop_old("firebase")
    cache.seconds += 601
    assert await cache.reason() is Reason.INVALID_ID_TOKEN


@pytest.mark.parametrize("age", [599, 8000, 10**8])
@in_a_loop
async def test_keys_from_a_cache_on_the_way_are_used_at_once(cache: Cache, age: int) -> None:
    cache.issuer.age = age
    await cache.key()
    cache.seconds += keys.RETRY_WARM
    await cache.key()
    assert cache.issuer.fetches == 2


@in_a_loop
async def test_keys_are_fetched_once_a_day_whatever_their_max_age(cache: Cache) -> None:
    cache.issuer.max_age = 10**8
    await cache.key()
    cache.seconds += 24 * 3600 + 1
    await cache.key()
    assert cache.issuer.fetches == 2


@in_a_loop
async def test_a_short_rsa_key_is_ignored(cache: Cache) -> None:
    short = signing_key(1024)
    cache.issuer.keys["firebase"].insert(0, short)
    await cache.key()
    assert await cache.reason(short.kid) is Reason.INVALID_ID_TOKEN


@in_a_loop
async def test_without_max_age_keys_are_still_cached(cache: Cache) -> None:
    cache.issuer.max_age = 0
    for _ in range(10):
        await cache.key()
    assert cache.issuer.fetches == 1


@in_a_loop
async def test_on_a_machine_that_just_booted_no_keys_look_usable(cache: Cache) -> None:
    """A monotonic clock may start near zero, which must not look like keys still usable."""
    cache.seconds = 1.0
    cache.issuer.key_fault = 500
    assert await cache.reason() is Reason.KEYS_UNAVAILABLE
    cache.issuer.key_fault = None
    cache.seconds += keys.RETRY_COLD
    await cache.key()


# ------------------------------------------------------------------ several sets


@in_a_loop
async def test_a_key_is_found_in_each_set_that_has_it(cache: Cache) -> None:
    google = cache.issuer.keys["google"]
    assert await cache.both(cache.kid) == {cache.keys}
    assert await cache.both(google[0].kid) == {cache.others}
    google.append(replace(google[0], kid=cache.kid))
    cache.seconds += 601
    await cache.both(google[0].kid)
    assert await cache.both(cache.kid) == {cache.keys, cache.others}


@in_a_loop
async def test_while_one_set_has_the_key_the_other_is_not_fetched(cache: Cache) -> None:
    await cache.key()
    cache.issuer.key_fault = 500
    for _ in range(5):
        assert await cache.both(cache.kid) == {cache.keys}
        cache.seconds += keys.RETRY_COLD
    assert cache.issuer.fetches == 1


@in_a_loop
async def test_a_key_that_moved_to_another_set_is_found(cache: Cache) -> None:
    await cache.key()
    cache.issuer.keys["google"].append(cache.issuer.keys["firebase"][0])
    cache.issuer.rotate("firebase")
    cache.issuer.drop_old("firebase")
    cache.seconds += 601
    assert await cache.both(cache.kid) == {cache.others}


@in_a_loop
async def test_two_sets_are_fetched_at_the_same_time(cache: Cache) -> None:
    """One after the other, the second fetch would start after the deadline of the first."""
    cache.issuer.key_fault = "slow"
    waiting = asyncio.create_task(cache.both("new"))
    await asyncio.to_thread(until, lambda: cache.issuer.fetches == 2, keys.FETCH_TIMEOUT - 2)
    waiting.cancel()


@in_a_loop
async def test_a_set_that_hangs_holds_up_no_caller_of_the_other(cache: Cache) -> None:
    cache.issuer.key_fault = "slow"
    hanging = asyncio.create_task(keys.find([cache.others], "new"))
    await asyncio.to_thread(until, lambda: cache.issuer.fetches == 1)
    cache.issuer.key_fault = None
    assert await cache.both(cache.kid) == {cache.keys}
    assert not hanging.done()
    hanging.cancel()


@in_a_loop
async def test_an_unknown_key_is_unavailable_while_one_set_cannot_be_fetched(cache: Cache) -> None:
    await cache.key()
    cache.issuer.key_fault = 500
    with pytest.raises(Refused) as refusal:
        await cache.both("new")
    assert refusal.value.reason is Reason.KEYS_UNAVAILABLE
    assert refusal.value.retry_after == keys.RETRY_COLD
    assert await cache.both(cache.kid) == {cache.keys}
    cache.issuer.key_fault = None
    cache.seconds += keys.RETRY_WARM
    with pytest.raises(Refused) as refusal:
        await cache.both("new")
    assert refusal.value.reason is Reason.INVALID_ID_TOKEN


@in_a_loop
async def test_junk_fetches_each_set_once_in_half_a_minute(cache: Cache) -> None:
    for _ in range(3):
        for number in range(20):
            with pytest.raises(Refused):
                await cache.both(f"junk{number}")
        cache.seconds += keys.RETRY_WARM
    assert cache.issuer.fetches == 6
