"""What each parser must accept, written a second time, from the standards and without `livetoken`.

An oracle returns None for what must be refused.
"""

import json
import re
import string
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn
from urllib.parse import urlsplit

NOW = 1_800_000_000.0
"""The time of every check, in seconds since the epoch."""
SKEW = 10
BASE64URL = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
TOKEN68 = frozenset(string.ascii_letters + string.digits + "-._~+/")
HIDDEN = {"crit", "b64", "zip", "enc", "cty"}


def bearer(values: list[str]) -> str | None:
    """The credential of the Authorization headers (RFC 6750, section 2.1; RFC 9110, 11.2)."""
    if len(values) != 1 or len(values[0]) > 8192 + len("Bearer "):
        return None
    scheme, space, rest = values[0].partition(" ")
    credential = rest.lstrip(" ")
    characters = credential.rstrip("=")
    is_right = scheme.lower() == "bearer" and space and characters and set(characters) <= TOKEN68
    return credential if is_right else None


def is_origin(text: str) -> bool:
    """Whether a text may be an origin as browsers write it (RFC 6454, section 6.2)."""
    if not text.isascii() or text != text.lower() or not text.isprintable() or " " in text:
        return False
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return False
    host = url.hostname or ""
    return (
        text == f"{url.scheme}://{url.netloc}"
        and url.netloc == (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
        and port != 0
        and not set(host) & set("*%@\\/?#<>^|`\"'{}")
    )


def fits(text: str) -> bool:
    """Whether a text is one of the origins `https://app--*.web.app`."""
    scheme, slashes, host = text.partition("://")
    labels = host.split(".")
    if (scheme, slashes, labels[1:]) != ("https", "://", ["web", "app"]):
        return False
    label = labels[0]
    return (
        label[:5] == "app--"
        and 5 < len(label) < 64
        and set(label) <= set(string.ascii_lowercase + string.digits + "-")
        and label[-1] != "-"
    )


def body(data: bytes) -> tuple[str, str | None, str, bool] | None:
    """The profile, the handle, the choices as JSON, and whether it is of the callable protocol."""
    fields = _object(data, constants=False)
    if fields is None:
        return None
    is_callable = "data" in fields
    if is_callable:
        if len(fields) > 1:
            return None
        fields = {} if fields["data"] is None else fields["data"]
    if not isinstance(fields, dict) or not fields.keys() <= {"profile", "resume", "choices"}:
        return None
    profile, resume = fields.get("profile", "default"), fields.get("resume", "h")
    choices = fields.get("choices", {})
    if not isinstance(profile, str) or not isinstance(resume, str) or not isinstance(choices, dict):
        return None
    if len(choices) > 16 or not all(isinstance(v, str | int | float) for v in choices.values()):
        return None
    if not 1 <= len(resume) <= 4096 or any(
        unicodedata.category(each) in ("Cc", "Cs") for each in resume
    ):
        return None
    return profile, resume if "resume" in fields else None, json.dumps(choices), is_callable


def key_id(text: str) -> str | None:
    """The `kid` of a compact RS256 token (RFC 7515, sections 4 and 7.1; RFC 8725)."""
    parts = text.split(".")
    if len(parts) != 3 or not parts[1] or set(parts[1]) - set(BASE64URL) or len(parts[0]) > 1024:
        return None
    header, signature = from_base64url(parts[0]), from_base64url(parts[2])
    if not header or signature is None or parts[2] == "SIGNATURE_REMOVED_BY_GOOGLE":
        return None
    fields = _object(header, constants=False)
    if fields is None or fields.keys() & HIDDEN:
        return None
    kid = fields.get("kid")
    is_right = fields.get("alg") == "RS256" and fields.get("typ", "JWT") == "JWT"
    return kid if is_right and isinstance(kid, str) and kid else None


def caller(payload: bytes, genuine: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """The issuer, the tenant, the subject and whether the account is anonymous.

    Args:
        payload: the claims of a token whose signature is right.
        genuine: the claims of a token of the same issuer that is to be accepted.
    """
    claims = _object(payload, constants=False)
    if claims is None:
        return None
    firebase = "firebase" in genuine
    right = [genuine["iss"]] if firebase else ["https://accounts.google.com", "accounts.google.com"]
    sub, azp = claims.get("sub"), claims.get("azp", claims.get("aud"))
    about = claims.get("firebase")
    about = about if firebase and isinstance(about, dict) else {}
    provider, tenant = about.get("sign_in_provider"), about.get("tenant", "none")
    if (
        claims.get("iss") not in right
        or claims.get("aud") != genuine["aud"]
        or not _is_past(claims.get("iat"))
        or not _is_past(claims.get("nbf", 1))
        or not _is_time(claims.get("exp"))
        or claims["exp"] <= NOW - SKEW
        or not _is_text(sub, 128 if firebase else 255)
        or not _is_text(tenant, 64)
    ):
        return None
    if firebase:
        is_right = _is_past(claims.get("auth_time")) and isinstance(provider, str)
    else:
        is_right = azp == claims["aud"] or (
            isinstance(azp, str) and azp.endswith(".apps.googleusercontent.com")
        )
    named = (right[0], about.get("tenant"), sub)
    return (*named, provider == "anonymous") if is_right else None


def document(data: bytes) -> dict[str, Any] | None:
    """The JSON object that an endpoint answers with."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def jwk(value: Any, kid: str, modulus: int) -> bool:
    """Whether a value is an RSA key for RS256 of this id and modulus (RFC 7517, 7518)."""
    if not isinstance(value, dict) or not isinstance(value.get("n"), str):
        return False
    operations, number = value.get("key_ops", ["verify"]), from_base64url(value["n"])
    return (
        value.get("kid") == kid
        and value.get("kty") == "RSA"
        and value.get("use", "sig") == "sig"
        and value.get("alg", "RS256") == "RS256"
        and isinstance(operations, list)
        and "verify" in operations
        and number is not None
        and int.from_bytes(number) == modulus
    )


UNKNOWN_ERROR = ("STATUS", None, None)
"""What an error says that cannot be read."""
CAUSES = {
    "KEY_INVALID": "API_KEY_INVALID CONSUMER_INVALID CREDENTIALS_MISSING"
    " ACCESS_TOKEN_TYPE_UNSUPPORTED",
    "KEY_RESTRICTED": "API_KEY_SERVICE_BLOCKED API_KEY_HTTP_REFERRER_BLOCKED"
    " API_KEY_IP_ADDRESS_BLOCKED API_KEY_ANDROID_APP_BLOCKED API_KEY_IOS_APP_BLOCKED",
    "SUSPENDED": "CONSUMER_SUSPENDED GCP_SUSPENDED",
    "API_DISABLED": "SERVICE_DISABLED",
    "BILLING_DISABLED": "BILLING_DISABLED",
}
"""The reasons of each cause (google/api/error_reason.proto)."""
OF_STATUS = {
    "INVALID_ARGUMENT": "FIELD_REFUSED",
    "FAILED_PRECONDITION": "LOCATION_REFUSED",
    "PERMISSION_DENIED": "KEY_DENIED",
    "UNAUTHENTICATED": "KEY_INVALID",
}


def google_error(data: bytes) -> tuple[str, str | None, int | None]:
    """The cause, the quota and the delay of an error (google/rpc/error_details.proto)."""
    try:
        with _deep_recursion():
            error = json.loads(data.decode("utf-8", "strict"))["error"]
        details = _dicts(error.get("details"))
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return UNKNOWN_ERROR
    causes, quotas, delays, has_info = [], [], [], False
    for each in details:
        if each.get("@type") == "type.googleapis.com/google.rpc.ErrorInfo":
            has_info = True
            causes += [name for name, them in CAUSES.items() if each.get("reason") in them.split()]
            quotas += [about.get("quota_limit") for about in _dicts([each.get("metadata")])]
        if each.get("@type") == "type.googleapis.com/google.rpc.QuotaFailure":
            quotas += [about.get("quotaId") for about in _dicts(each.get("violations"))]
        if each.get("@type") == "type.googleapis.com/google.rpc.RetryInfo":
            delays.append(_seconds(each.get("retryDelay")))
    if not has_info:
        causes = [cause for word, cause in OF_STATUS.items() if word == error.get("status")]
    named = [quota for quota in quotas if isinstance(quota, str)]
    quota = "QUOTA_PER_MINUTE" if any("PerMinute" in each for each in named) else None
    quota = "QUOTA_PER_DAY" if any("PerDay" in each for each in named) else quota
    longest = max((delay for delay in delays if delay is not None), default=None)
    return causes[0] if causes else "STATUS", quota, longest


def _dicts(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _seconds(value: object) -> int | None:
    """The seconds of a google.protobuf.Duration in JSON that is not negative, rounded up."""
    number = value[:-1] if isinstance(value, str) and value.endswith("s") else ""
    whole, point, fraction = number.partition(".")
    is_right = set(whole + fraction) <= set(string.digits) and bool(point) == bool(fraction)
    if not is_right or not 1 <= len(whole) <= 12 or len(fraction) > 9:
        return None
    return -(-int(whole + fraction.ljust(9, "0")) // 10**9)


def from_base64url(text: str) -> bytes | None:
    """Decode base64url that has one spelling only (RFC 4648, sections 3.5 and 5)."""
    if set(text) - set(BASE64URL) or len(text) % 4 == 1:
        return None
    bits = "".join(f"{BASE64URL.index(each):06b}" for each in text)
    whole = len(bits) // 8 * 8
    if "1" in bits[whole:]:
        return None
    return bytes(int(bits[at : at + 8], 2) for at in range(0, whole, 8))


def _object(data: bytes, *, constants: bool = True) -> dict[str, Any] | None:
    """A JSON object (RFC 8259) in UTF-8 without a BOM, in which no name occurs twice."""
    try:
        text = data.decode("utf-8", "strict")
        with _deep_recursion():
            value = json.loads(
                text,
                object_pairs_hook=_unique,
                parse_constant=None if constants else _refuse,
            )
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and not re.match(r"\s*\ufeff", text) else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise ValueError
    return dict(pairs)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


@contextmanager
def _deep_recursion() -> Iterator[None]:
    """More depth than a parser has, so that the oracle does not refuse what it accepts."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before * 4)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _is_text(value: object, longest: int) -> bool:
    return (
        isinstance(value, str)
        and 1 <= len(value) <= longest
        and not any(unicodedata.category(each) == "Cs" for each in value)
    )


def _is_time(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_past(value: object) -> bool:
    return _is_time(value) and value <= NOW + SKEW  # type: ignore[operator]  # _is_time has checked it
