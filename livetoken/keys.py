"""An issuer's signing keys: fetched once and kept as long as the issuer says.

| situation | what happens |
|---|---|
| no keys yet | one fetch for all requests that wait; after a failure, none for 2 s |
| fresh (`max-age`) | no fetch |
| past `max-age`, for an hour | one request fetches, the others use the old keys |
| a key id that no set has | a fetch of every set, unless its last was less than 30 s ago |

No background task fetches keys, because Cloud Run stops the CPU between requests.
"""

import asyncio
import json
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.x509 import InvalidVersion, load_pem_x509_certificate
from google.auth.crypt import RSAVerifier

from livetoken import fetch, tokens
from livetoken.refusals import Detail, Reason, Refused

FETCH_TIMEOUT = 5.0  # seconds
RETRY_COLD = 2.0  # seconds between fetches while there are no keys
RETRY_WARM = 30.0  # seconds between fetches otherwise
STALE_FOR = 3600.0  # seconds that keys serve past their max-age
MAX_AGE_DEFAULT = 300.0  # seconds, for an answer without max-age
MAX_AGE_MOST = 6 * 3600.0  # seconds at most; App Check's documentation names six hours
MIN_KEY_BITS = 2048  # RFC 7518, section 3.3
MAX_KEY_BITS = 8192  # a longer key takes too long to verify with

Keys: TypeAlias = Iterator[tuple[str, RSAPublicKey]]
"""The key ids and keys that an endpoint lists."""

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=\"?(\d{1,9})", re.IGNORECASE)


class KeySet:
    """The RSA keys of one issuer.

    Args:
        http: the HTTP client.
        url: the endpoint.
        parse: reads the endpoint's JSON object; `certificates` or `jwks`.
        unavailable: the reason if keys cannot be fetched.
        unknown: the reason if there is no key of an id.
        now: seconds on a monotonic clock.
    """

    def __init__(
        self,
        http: fetch.Http,
        url: str,
        parse: Callable[[Mapping[str, Any]], Keys],
        *,
        unavailable: Reason = Reason.KEYS_UNAVAILABLE,
        unknown: Reason = Reason.INVALID_ID_TOKEN,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._url = url
        self._parse = parse
        self._unavailable = unavailable
        self._unknown = unknown
        self._now = now
        self._keys: Mapping[str, RSAVerifier] = {}
        self._fresh_until = float("-inf")
        self._fetched_at = float("-inf")
        self._failure: Detail | None = None
        self._refresh: asyncio.Task[None] | None = None

    def key(self, kid: str) -> RSAVerifier | None:
        """Return the key of that id, or None if there is no such key that may still be used."""
        return self._keys.get(kid) if self._usable() else None

    def renewal(self, kid: str) -> "asyncio.Task[None] | None":
        """Return the fetch to wait for before the key of that id is used, or None."""
        if not self._usable():
            return self._fetching(RETRY_COLD)
        if kid not in self._keys:
            return self._fetching(RETRY_WARM)
        is_due = self._now() >= self._fresh_until and self._refresh is None
        return self._fetching(RETRY_WARM) if is_due else None

    def missing(self) -> Refused:
        """Return why there is no key of some id: `unknown`, or `unavailable` and when to retry."""
        usable = self._usable()
        if usable and self._failure is None:
            return Refused(self._unknown, Detail.UNKNOWN_KEY)
        wait = self._fetched_at + (RETRY_WARM if usable else RETRY_COLD) - self._now()
        return Refused(self._unavailable, self._failure, retry_after=max(1, math.ceil(wait)))

    async def warm(self) -> None:
        """Fetch the keys before the first request, which meets the failure if this fails."""
        if fetch := self._fetching(RETRY_COLD):
            await asyncio.shield(fetch)

    def _usable(self) -> bool:
        return self._now() < self._fresh_until + STALE_FOR

    def _fetching(self, spacing: float) -> "asyncio.Task[None] | None":
        """Return a fetch, new or under way, or None if the last was less than `spacing` s ago."""
        if self._refresh is None and self._now() >= self._fetched_at + spacing:
            self._refresh = asyncio.create_task(self._fetch())
        return self._refresh

    async def _fetch(self) -> None:
        try:
            answer = await self._http.get(self._url, seconds=FETCH_TIMEOUT)
            keys = self._verifiers(answer)
        except (fetch.Unreachable, TimeoutError):
            self._failure = Detail.CONNECTION
        except (fetch.TooLong, ValueError, RecursionError):
            self._failure = Detail.NOT_KEYS
        else:
            self._failure = None
            self._keys = keys
            self._fresh_until = self._now() + _max_age(answer.headers)
        finally:
            self._fetched_at = self._now()
            self._refresh = None

    def _verifiers(self, answer: fetch.Fetched) -> dict[str, RSAVerifier]:
        """Read an answer. Keys too short for RS256, or too long, are skipped.

        Raises:
            ValueError, RecursionError: it holds no usable key.
        """
        document = json.loads(answer.body.decode()) if answer.status == 200 else None
        if not isinstance(document, dict):
            raise ValueError
        keys = {
            kid: RSAVerifier(key)  # type: ignore[no-untyped-call]  # google-auth has none
            for kid, key in self._parse(document)
            if MIN_KEY_BITS <= key.key_size <= MAX_KEY_BITS
        }
        if not keys:
            raise ValueError
        return keys


async def find(sets: Iterable[KeySet], kid: str) -> dict[KeySet, RSAVerifier]:
    """Return the keys of that id, at least one, by the set that each is from.

    If a set has the id, no other set is waited for: an id is a hash, which two sets do not share.

    Raises:
        Refused: no set has one. If a set cannot be fetched, the key may be there, and the reason is
            that set's `unavailable`, else `unknown`.
    """
    found = await _renewed(_keys(sets, kid), kid) or await _renewed(sets, kid)
    if not found:
        raise min((each.missing() for each in sets), key=lambda it: it.retry_after or math.inf)
    return found


async def _renewed(sets: Iterable[KeySet], kid: str) -> dict[KeySet, RSAVerifier]:
    """Fetch the sets that are due, all at the same time, and return their keys of that id."""
    fetches = {fetch for each in sets if (fetch := each.renewal(kid))}
    while fetches:
        done, fetches = await asyncio.wait(fetches, return_when=asyncio.FIRST_COMPLETED)
        for fetch in done:
            fetch.result()  # raises an unexpected error
        if _keys(sets, kid):
            break
    return _keys(sets, kid)


def _keys(sets: Iterable[KeySet], kid: str) -> dict[KeySet, RSAVerifier]:
    return {each: key for each in sets if (key := each.key(kid))}


def certificates(document: Mapping[str, Any]) -> Keys:
    """Read `{kid: PEM certificate}`, as Firebase and Google serve their keys.

    What is not a certificate of an RSA key is skipped.
    """
    for kid, pem in document.items():
        if not isinstance(pem, str):
            continue
        try:
            key = load_pem_x509_certificate(pem.encode()).public_key()
        except (ValueError, InvalidVersion, UnsupportedAlgorithm):
            continue
        if isinstance(key, RSAPublicKey):
            yield kid, key


def jwks(document: Mapping[str, Any]) -> Keys:
    """Read a JWK Set. Keys for anything but RS256 signatures are skipped (RFC 7517, section 5).

    Raises:
        ValueError: the document has another shape.
    """
    if not isinstance(document.get("keys"), list):
        raise ValueError
    for jwk in document["keys"]:
        if isinstance(jwk, dict) and _is_for_rs256(jwk):
            try:
                key = RSAPublicNumbers(_integer(jwk["e"]), _integer(jwk["n"])).public_key()
            except (ValueError, TypeError, KeyError):
                continue
            yield jwk["kid"], key


def _is_for_rs256(jwk: Mapping[str, Any]) -> bool:
    """Whether a JWK is an RSA key for RS256 signatures (RFC 7517, sections 4.1 to 4.5)."""
    operations = jwk.get("key_ops", ["verify"])
    return (
        jwk.get("kty") == "RSA"
        and jwk.get("use", "sig") == "sig"
        and jwk.get("alg", "RS256") == "RS256"
        and isinstance(operations, list)
        and "verify" in operations
        and isinstance(jwk.get("kid"), str)
    )


def _integer(text: str) -> int:
    """Read a Base64urlUInt (RFC 7518, section 2)."""
    return int.from_bytes(tokens.decode(text))


def _max_age(headers: Mapping[str, str]) -> float:
    """Seconds for which an answer is fresh (RFC 9111, section 4.2), minus its age on arrival."""
    match = _MAX_AGE.search(headers["cache-control"])
    seconds = float(match[1]) if match else MAX_AGE_DEFAULT
    age = headers["age"]
    aged = float(age) if age.isascii() and age.isdigit() else 0.0
    return max(0.0, min(seconds, MAX_AGE_MOST) - aged)
