"""Attacks by what the claims say, under a genuine signature unless a family says otherwise."""

from collections.abc import Callable
from json import loads
from typing import Any

from forge import Forge, Row, family

from emulator.jwt import as_json, base64url

FIREBASE = "https://securetoken.google.com/"
GOOGLE = "https://accounts.google.com"
ACCOUNT = "minter@demo-livetoken.iam.gserviceaccount.com"

NUMBERS = {
    "NaN": "TOKEN_MALFORMED",
    "Infinity": "TOKEN_MALFORMED",
    "-Infinity": "TOKEN_MALFORMED",
    "1" + "0" * 4300: "TOKEN_MALFORMED",
    "-1" + "0" * 4300: "TOKEN_MALFORMED",
    "0x7fffffff": "TOKEN_MALFORMED",
    "01999999999": "TOKEN_MALFORMED",
    "+1999999999": "TOKEN_MALFORMED",
    ".5": "TOKEN_MALFORMED",
    "1_999_999_999": "TOKEN_MALFORMED",
    "True": "TOKEN_MALFORMED",
    "1e999": None,
    "-1e999": None,
    "1e9": None,
    "1999999999.0": None,
    "1999999999.5": None,
    "0": None,
    "-1": None,
    "-0": None,
    "true": None,
    "null": None,
    '"1999999999"': None,
    "[1999999999]": None,
    '{"$gt":0}': None,
}
"""JSON that must not pass for a time. None: the JSON is fine, and the claim is refused."""

NO_TEXT: tuple[Any, ...] = (..., None, True, 7, 1.5, [], {}, "")
NO_TENANTS: tuple[Any, ...] = tuple(
    {"sign_in_provider": "custom", "tenant": it} for it in (*NO_TEXT[1:], "t" * 65, "\ud800")
)
NO_PROVIDERS: tuple[Any, ...] = tuple({"sign_in_provider": it} for it in NO_TEXT[1:-1])


def one(name: str, expected: str | None, person: str = "ada", /, **claims: Any) -> Row:
    """A genuine token with some claims replaced."""
    return name, lambda forge: forge.genuine(person, **claims), expected


def each(
    claim: str, values: tuple[Any, ...], expected: str | None, person: str = "ada"
) -> list[Row]:
    """Genuine tokens with one claim replaced."""
    return [
        one(
            f"{person}'s {claim} {'missing' if value is ... else repr(value)[:60]}",
            expected,
            person,
            **{claim: value},
        )
        for value in values
    ]


def project(claim: str, change: Callable[[str], Any], expected: str, name: str = "") -> Row:
    """A genuine token with a claim made of our project's name."""

    def make(forge: Forge) -> str:
        return forge.genuine(**{claim: change(forge.issuer.firebase_project)})

    return f"{claim} {name or change('project')!r}"[:70], make, expected


def formed(claim: str, form: str, expected: str) -> Row:
    """A genuine token with a claim in which our project's name stands for the star."""
    return project(claim, lambda name: form.replace("*", name), expected, form)


def client(claim: str, change: Callable[[str], Any], expected: str | None) -> Row:
    """A genuine Google token with a claim made of our client id."""

    def make(forge: Forge) -> str:
        return forge.genuine("grace", **{claim: change(forge.issuer.google_client_id)})

    return f"Google's {claim} {change('client')!r}", make, expected


def number(claim: str, json: str, expected: str) -> Row:
    shown = json if len(json) < 30 else f"{json[:2]}... of {len(json)} digits"
    return f"{claim} {shown}", lambda forge: forge.with_claim(claim, json.encode()), expected


def at(claim: str, seconds: int, expected: str | None, person: str = "ada") -> Row:
    """A genuine token with a time so many seconds from now."""
    return (
        f"{claim} {seconds:+} s, {person}",
        lambda forge: forge.genuine(person, **{claim: forge.now + seconds}),
        expected,
    )


def payload(name: str, change: Callable[[bytes], bytes], expected: str | None) -> Row:
    """A genuine signature over claims that are written in another way."""
    return name, lambda forge: forge.signed(payload=change(forge.claims(x="here"))), expected


def only(json: bytes) -> Row:
    return payload(f"claims are {json[:20]!r}", lambda _: json, "TOKEN_MALFORMED")


def value(name: str, json: bytes, expected: str | None = "TOKEN_MALFORMED") -> Row:
    return payload(name, lambda it: it.replace(b'"here"', json), expected)


def junk(name: str, json: bytes) -> Row:
    return name, lambda forge: forge.unsigned_claims(json), "SIGNATURE"


CLAIMS = [
    *family(
        "genuine",
        "Firebase and Google, how to verify ID tokens; RFC 7519, section 7.2",
        *(one(person, None, person) for person in ("ada", "bob", "grace")),
        one("Google's short issuer", None, "grace", iss="accounts.google.com"),
        one("Google without azp", None, "grace", azp=...),
        one("another client's azp", None, "grace", azp="1-app.apps.googleusercontent.com"),
        one("a sub of 128 characters", None, sub="u" * 128),
        one("a sub of Google of 255 characters", None, "grace", sub="1" * 255),
        one("a sub in Unicode", None, sub="\u00e4\U0001f600"),
        one("a tenant", None, firebase={"sign_in_provider": "custom", "tenant": "t-1"}),
        one(
            "a tenant of 64 characters",
            None,
            firebase={"sign_in_provider": "custom", "tenant": "t" * 64},
        ),
        one("Google with a tenant", None, "grace", firebase={"tenant": 7}),
        one("a claim of 4,000 characters", None, note="a" * 4000),
        one("300 claims", None, **{f"c{n}": n for n in range(300)}),
        one("nested 100 deep", None, deep=loads("[" * 99 + "]" * 99)),
        one("half a character in a name", None, name="\ud800"),
        payload("white space", lambda it: b" \t\r\n" + it + b"\n ", None),
        payload("escaped names", lambda it: it.replace(b"exp", b"\\u0065xp"), None),
        payload("names in another case beside", lambda it: it[:-1] + b',"EXP":0,"Aud":"x"}', None),
    ),
    *family(
        "clock",
        "RFC 7519, sections 4.1.4 to 4.1.6",
        at("iat", 7, None),
        at("iat", 30, "ISSUED_AT"),
        at("iat", 30, "ISSUED_AT", "grace"),
        at("nbf", 7, None),
        at("nbf", 30, "NOT_BEFORE"),
        at("nbf", 0, None),
        at("exp", 1, None),
        at("exp", 0, None),
        at("exp", -6, None),
        at("exp", -11, "ID_TOKEN_EXPIRED"),
        at("exp", -11, "ID_TOKEN_EXPIRED", "grace"),
        at("exp", -3600, "ID_TOKEN_EXPIRED"),
        at("exp", 10**12, None),
        at("auth_time", 7, None),
        at("auth_time", 30, "AUTH_TIME"),
        at("auth_time", -(10**8), None),
        one("exp 1, of 1970", "ID_TOKEN_EXPIRED", exp=1),
        ("exp before iat", lambda it: it.genuine(iat=it.now, exp=it.now - 60), "ID_TOKEN_EXPIRED"),
        one("expired, and for others", "AUDIENCE", exp=1, aud="other"),
    ),
    *family(
        "times of a wrong form",
        "RFC 7519, section 2 (NumericDate); CVE-2020-10735",
        *(
            number(claim, json, malformed or detail)
            for claim, detail in (("exp", "EXPIRY"), ("iat", "ISSUED_AT"))
            for json, malformed in NUMBERS.items()
        ),
        *each("exp", (...,), "EXPIRY"),
        *each("iat", (...,), "ISSUED_AT"),
        *each("nbf", ("now", None, True, 0, -1, 1.5, [], {}), "NOT_BEFORE"),
        *each("auth_time", (..., "1", None, True, 0, -1, 1.5, [1], {}), "AUTH_TIME"),
        ("exp of 4,300 digits", lambda it: it.with_claim("exp", b"9" * 4300), None),
    ),
    *family(
        "issuer",
        "RFC 8725, section 3.8; CVE-2024-53861",
        *each("iss", (*NO_TEXT, FIREBASE, "https://session.firebase.google.com/"), "ISSUER"),
        *(
            formed("iss", form, "ISSUER")
            for form in (
                "*",
                f"{FIREBASE}*/",
                f"{FIREBASE}*2",
                f"{FIREBASE}x*",
                f" {FIREBASE}*",
                f"{FIREBASE}*\0",
                f"{FIREBASE}*#",
                f"{FIREBASE}./*",
                f"{FIREBASE[:-1]}:443/*",
                "http://securetoken.google.com/*",
                "securetoken.google.com/*",
                "HTTPS://securetoken.google.com/*",
                "https://securetoken.google.com.evil.example/*",
                "https://evil.example/https://securetoken.google.com/*",
                "https://securetoken.google.com@evil.example/*",
                "https://securetoken.g\u043eogle.com/*",
                "https://session.firebase.google.com/*",
            )
        ),
        project("iss", lambda it: FIREBASE + it.upper(), "ISSUER", "our project in upper case"),
        project("iss", lambda it: FIREBASE + it[:-1], "ISSUER", "our project, cut"),
        project("iss", lambda it: [FIREBASE + it], "ISSUER", "our issuer in an array"),
        project("iss", lambda it: {FIREBASE + it: 1}, "ISSUER", "our issuer as a name"),
        one("another project", "ISSUER", iss=f"{FIREBASE}other", aud="other"),
        *each(
            "iss",
            (f"{GOOGLE}/", f"{GOOGLE}.evil.example", "http://accounts.google.com"),
            "ISSUER",
            "grace",
        ),
        *each(
            "iss",
            ("ACCOUNTS.GOOGLE.COM", "accounts.google.com ", "google.com", [GOOGLE]),
            "ISSUER",
            "grace",
        ),
        one("Google's issuer under Firebase's key", "ISSUER", iss=GOOGLE),
    ),
    *family(
        "audience",
        "RFC 8725, section 3.9; CVE-2020-26160",
        *each(
            "aud", (*NO_TEXT, "other", "*", "demo-livetoken2", "demo", "DEMO-LIVETOKEN"), "AUDIENCE"
        ),
        *(
            formed("aud", form, "AUDIENCE")
            for form in (" *", "* ", "*/", "projects/*", "*,other", "*\0", "https://*.web.app")
        ),
        project("aud", lambda it: [it], "AUDIENCE", "ours in an array"),
        project("aud", lambda it: ["other", it], "AUDIENCE", "ours in an array of two"),
        project("aud", lambda it: {it: 1}, "AUDIENCE", "ours as a name"),
        client("aud", lambda it: "9-other.apps.googleusercontent.com", "AUDIENCE"),
        client("aud", lambda it: [it], "AUDIENCE"),
        client("aud", lambda it: it.upper(), "AUDIENCE"),
        client("aud", lambda it: it[:-1], "AUDIENCE"),
        client("aud", lambda it: f"x{it}", "AUDIENCE"),
        one("Google's for our project", "AUDIENCE", "grace", aud="demo-livetoken"),
        (
            "Firebase's for our client",
            lambda it: it.genuine(aud=it.issuer.google_client_id),
            "AUDIENCE",
        ),
        one("gcloud's client", "AUDIENCE", "grace", aud="32555940559.apps.googleusercontent.com"),
    ),
    *family(
        "whom it was made for",
        "OpenID Connect Core, sections 2 and 3.1.3.7; IAM Credentials, generateIdToken",
        *each(
            "azp",
            (None, "", 7, [], {}, True, "112233445566778899001", ACCOUNT),
            "AUTHORIZED_PARTY",
            "grace",
        ),
        client("azp", lambda it: [it], "AUTHORIZED_PARTY"),
        one(
            "azp with an ending of ours",
            "AUTHORIZED_PARTY",
            "grace",
            azp="x.apps.googleusercontent.com.evil",
        ),
        *each("sub", (*NO_TEXT, ["ada-uid"], "u" * 129, "\ud800", "a\udfffb"), "SUBJECT"),
        *each("sub", (..., "", "1" * 256, 7), "SUBJECT", "grace"),
        *each("firebase", (..., None, [], "anonymous", {}, {"tenant": "t"}), "SIGN_IN_PROVIDER"),
        *each("firebase", NO_PROVIDERS, "SIGN_IN_PROVIDER"),
        *each("firebase", NO_TENANTS, "TENANT"),
    ),
    *family(
        "JSON of the claims",
        "RFC 7519, section 4; RFC 8259, sections 4, 8 and 9",
        *(
            only(json)
            for json in (b"[]", b"7", b"null", b'"a"', b"{", b"{}{}", b" ", b"\0", b"[" * 3000)
        ),
        payload("no claims at all", lambda _: b"{}", "ISSUER"),
        payload(
            "a token as claims", lambda it: f"{base64url(it)}.e30.AA".encode(), "TOKEN_MALFORMED"
        ),
        payload("exp twice", lambda it: it[:-1] + b',"exp":1}', "TOKEN_MALFORMED"),
        payload("sub twice, escaped", lambda it: it[:-1] + b',"s\\u0075b":"a"}', "TOKEN_MALFORMED"),
        payload("iss twice", lambda it: b'{"iss":"a",' + it[1:], "TOKEN_MALFORMED"),
        payload("EXP for exp", lambda it: it.replace(b'"exp"', b'"EXP"'), "EXPIRY"),
        payload("Aud for aud", lambda it: it.replace(b'"aud"', b'"Aud"'), "AUDIENCE"),
        payload("iss with NUL", lambda it: it.replace(b'"iss"', b'"iss\\u0000"'), "ISSUER"),
        payload("byte order mark", lambda it: b"\xef\xbb\xbf" + it, "TOKEN_MALFORMED"),
        payload("UTF-16", lambda it: it.decode().encode("utf-16"), "TOKEN_MALFORMED"),
        payload(
            "UTF-16 without mark", lambda it: it.decode().encode("utf-16-be"), "TOKEN_MALFORMED"
        ),
        payload("UTF-32", lambda it: it.decode().encode("utf-32"), "TOKEN_MALFORMED"),
        payload("trailing NUL", lambda it: it + b"\0", "TOKEN_MALFORMED"),
        payload("comment", lambda it: it + b"//", "TOKEN_MALFORMED"),
        payload("comma at the end", lambda it: it[:-1] + b",}", "TOKEN_MALFORMED"),
        payload("single quotes", lambda it: it.replace(b'"', b"'"), "TOKEN_MALFORMED"),
        value("overlong UTF-8", b'"\xc0\xaf"'),
        value("a surrogate in UTF-8", b'"\xed\xa0\x80"'),
        value("Latin-1", b'"\xe9"'),
        value("a raw line feed", b'"\n"'),
        value("a raw NUL", b'"\0"'),
        value("a wrong escape", b'"\\x41"'),
        value("a number that is not finite", b"NaN"),
        value("a name twice, inside", b'{"a":1,"a":1}'),
        value("5,000 digits", b"1" * 5000),
        value("nested 2,000 deep, open", b"[" * 2000),
    ),
    *family(
        "junk under a known key",
        "CVE-2025-61920",
        *(
            junk(name, json)
            for name, json in (
                ("1,800 empty lists", b"[" + b"[]," * 1799 + b"[]]"),
                ("nested 900 deep", b"[" * 900 + b"]" * 900),
                ("nested 3,000 deep", b"[" * 3000),
                ("5,000 digits", b"1" * 5000),
                ("no JSON", b"\xff" * 5000),
                ("our claims", as_json({"sub": "ada-uid"})),
            )
        ),
    ),
]
