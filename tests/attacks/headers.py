"""Attacks by what the header of a token says: its algorithm, its key, and what it is."""

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from forge import Forge, Row, family
from unfit_keys import STRANGER

from emulator.issuer import signing_key
from emulator.jwt import as_json, base64url, jwk

PSS_256 = PSS(MGF1(hashes.SHA256()), 32)
SPKI, PKCS1 = PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1

NONE = ("none", "None", "NONE", "nOnE", "none ", "", "null")
CONFUSED = (
    *("rs256", " RS256", "RS256 ", "RS256\0", "RS256\n", "RS-256", "RSA256", "SHA256withRSA"),
    *("\uff32\uff33256", "RS256,none", "HS256", "EdDSA", "ES256K", "RSA-OAEP", "dir", "A128KW"),
)
NO_TEXT: tuple[Any, ...] = (
    ...,
    None,
    True,
    0,
    256,
    [],
    ["RS256"],
    ["none", "RS256"],
    {},
    {"RS256": 1},
)
SECRETS: dict[str, Callable[[Forge], bytes]] = {
    "PEM": lambda forge: forge.encoded(Encoding.PEM, SPKI),
    "PEM without a last line feed": lambda forge: forge.encoded(Encoding.PEM, SPKI).rstrip(),
    "PEM with CRLF": lambda forge: forge.encoded(Encoding.PEM, SPKI).replace(b"\n", b"\r\n"),
    "PKCS #1 PEM": lambda forge: forge.encoded(Encoding.PEM, PKCS1),
    "DER": lambda forge: forge.encoded(Encoding.DER, SPKI),
    "PKCS #1 DER": lambda forge: forge.encoded(Encoding.DER, PKCS1),
    "OpenSSH": lambda forge: forge.encoded(Encoding.OpenSSH, PublicFormat.OpenSSH),
    "certificate": lambda forge: forge.issuer.keys["firebase"][-1].pem.encode(),
    "modulus": lambda forge: forge.public.public_numbers().n.to_bytes(256),
    "modulus in hex": lambda forge: b"%x" % forge.public.public_numbers().n,
    "JWK": lambda forge: as_json(jwk(forge.public, kid=forge.issuer.kid("firebase"))),
    "key id": lambda forge: forge.issuer.kid("firebase").encode(),
    "project": lambda forge: forge.issuer.firebase_project.encode(),
    "nothing": lambda _: b"",
    "a word": lambda _: b"secret",
}
KIDS = (
    *("../../../../../../dev/null", "/dev/null", "..\\..\\key.pem", "file:///etc/passwd"),
    *("x' UNION SELECT 'key", "' OR '1'='1", "1; DROP TABLE keys--", "key|id", "$(id)", "%00"),
    *("https://evil.example/key.pem", "http://169.254.169.254/", "{{7*7}}", "${jndi:ldap://e}"),
    *("__proto__", "constructor", "keys", "*", ".", " ", "\0", "\r\nX-Key: 1", "\ud800", "a" * 500),
)
TYPES = (
    *("at+jwt", "application/jwt", "jwt", "JWE", "JOSE", "secevent+jwt", "dpop+jwt", "logout+jwt"),
    *("JWT ", "", None, 1, ["JWT"]),
)
MINE = jwk(STRANGER.public_key(), kid="mine")
CERTIFICATE = "".join(signing_key().pem.splitlines()[1:-1])


def genuine(name: str, detail: str | None, **entries: object) -> Row:
    """A token with a genuine signature, wrong in its header alone."""
    return name, lambda forge: forge.with_header(**entries), detail


def strange(name: str, detail: str, **entries: object) -> Row:
    """A token that somebody signed with a key of their own."""
    return name, lambda forge: forge.strange(**entries), detail


def key_id(name: str, change: Callable[[str], str]) -> Row:
    """A token with a genuine signature, and a key id that is almost the genuine one."""

    def make(forge: Forge) -> str:
        return forge.with_header(kid=change(forge.issuer.kid("firebase")))

    return name, make, "UNKNOWN_KEY"


def by_secret(name: str, alg: str) -> Row:
    """A token with an HMAC, for which the public key is the secret."""
    make = SECRETS[name]
    return f"{alg} with {name}", lambda it: it.mac(make(it), f"sha{alg[2:]}", alg), "ALGORITHM"


def unsigned(name: str, **entries: object) -> Row:
    return name, lambda forge: forge.unsigned(**entries), "ALGORITHM"


def json_text(text: bytes) -> Row:
    return json_header(f"header is {text!r}", lambda _: text, "TOKEN_MALFORMED")


def json_header(name: str, header: Callable[[Forge], bytes], expected: str | None) -> Row:
    """A token with a genuine signature over exactly this header."""
    return name, lambda forge: forge.signed(header(forge)), expected


HEADERS = [
    *family(
        "no signature",
        "RFC 8725, section 2.1; CVE-2015-9235; CVE-2022-23540",
        *(unsigned(f"alg {alg!r}", alg=alg) for alg in NONE),
        ("alg none, with a signature", lambda forge: forge.with_header(alg="none"), "ALGORITHM"),
        ("alg none, without kid", lambda it: it.unsigned(alg="none", kid=...), "ALGORITHM"),
        (
            "alg none, of the emulator",
            lambda it: it.unsigned(alg="none", kid=..., typ="JWT"),
            "ALGORITHM",
        ),
        ("alg none, one byte", lambda forge: forge.unsigned(b"\0", alg="none"), "ALGORITHM"),
        ("alg none, two segments", lambda it: it.unsigned(alg="none")[:-1], "TOKEN_MALFORMED"),
    ),
    *family(
        "other algorithm",
        "RFC 8725, section 3.1; RFC 7515, section 4.1.1",
        *(genuine(f"alg {alg!r}", "ALGORITHM", alg=alg) for alg in (*CONFUSED, *NO_TEXT)),
        ("RS384", lambda forge: forge.signed_as("RS384", hashes.SHA384()), "ALGORITHM"),
        ("RS512", lambda forge: forge.signed_as("RS512", hashes.SHA512()), "ALGORITHM"),
        ("PS256", lambda it: it.signed_as("PS256", hashes.SHA256(), PSS_256), "ALGORITHM"),
        ("ES256", lambda forge: forge.elliptic(), "ALGORITHM"),
        ("ES256 as RS256", lambda forge: forge.elliptic("RS256"), "SIGNATURE"),
        ("PS256 as RS256", lambda it: it.signed_as("RS256", hashes.SHA256(), PSS_256), "SIGNATURE"),
        ("RS1 as RS256", lambda forge: forge.signed_as("RS256", hashes.SHA1()), "SIGNATURE"),
        ("RS512 as RS256", lambda it: it.signed_as("RS256", hashes.SHA512()), "SIGNATURE"),
    ),
    *family(
        "HMAC with the public key",
        "CVE-2016-10555; CVE-2017-11424; CVE-2022-29217; CVE-2024-54150",
        *(
            by_secret(name, alg)
            for name in SECRETS
            for alg in (("HS256", "HS384", "HS512") if name == "PEM" else ("HS256",))
        ),
        ("HS256 as RS256", lambda it: it.mac(SECRETS["PEM"](it), alg="RS256"), "SIGNATURE"),
    ),
    *family(
        "key in the header",
        "CVE-2018-0114; RFC 8725, section 3.10; RFC 7515, sections 4.1.2 to 4.1.8",
        strange("jwk", "SIGNATURE", jwk=MINE),
        strange("jwk of its own key id", "UNKNOWN_KEY", jwk=MINE, kid="mine"),
        strange("jwk without kid", "KEY_ID", jwk=MINE, kid=...),
        strange("jku", "SIGNATURE", jku="https://evil.example/jwks.json"),
        strange("jku of an address inside", "UNKNOWN_KEY", jku="http://127.0.0.1:1/", kid="mine"),
        strange("x5u", "SIGNATURE", x5u="https://evil.example/cert.pem"),
        strange("x5c", "SIGNATURE", x5c=["MIIB"]),
        strange("x5c without kid", "KEY_ID", x5c=["MIIB"], kid=...),
        strange("x5c, whole", "TOKEN_MALFORMED", x5c=[CERTIFICATE]),
        strange("x5t", "UNKNOWN_KEY", x5t="dGVzdA", kid="mine"),
        genuine("jku in a genuine token is ignored", None, jku="http://127.0.0.1:1/"),
        genuine("jwk in a genuine token is ignored", None, jwk={"kty": "oct", "k": "AA"}),
    ),
    *family(
        "key id",
        "RFC 8725, section 3.10; RFC 7515, section 4.1.4",
        *(strange(f"kid {kid[:30]!r}", "UNKNOWN_KEY", kid=kid) for kid in KIDS),
        *(strange(f"kid {kid!r}", "KEY_ID", kid=kid) for kid in (..., None, "", 0, 1, True)),
        *(strange(f"kid {kid!r}", "KEY_ID", kid=kid) for kid in ([], ["a"], {}, {"$ne": 1})),
        strange("kid of 2,000 characters", "TOKEN_MALFORMED", kid="a" * 2000),
        key_id("kid in upper case", str.upper),
        key_id("kid and a space", lambda kid: f"{kid} "),
        key_id("kid and NUL", lambda kid: f"{kid}\0"),
        key_id("half a kid", lambda kid: kid[:20]),
        key_id(
            "kid with full-width digits", lambda kid: "".join(chr(ord(c) + 0xFEE0) for c in kid)
        ),
        key_id(
            "kid with Cyrillic letters",
            lambda kid: kid.translate({97: 1072, 101: 1077, 99: 1089}) + "\u0430",
        ),
    ),
    *family(
        "header that changes the payload",
        "RFC 7515, section 4.1.11; CVE-2025-59420; RFC 7797, section 6; CVE-2024-33664",
        *(
            genuine(f"crit {crit!r}", "CRITICAL_HEADER", crit=crit)
            for crit in ([], ["exp"], None, "b64")
        ),
        genuine("crit that is not understood", "CRITICAL_HEADER", crit=["cnf"], cnf={"jkt": "a"}),
        genuine("b64 false", "CRITICAL_HEADER", b64=False),
        genuine("b64 false, critical", "CRITICAL_HEADER", b64=False, crit=["b64"]),
        genuine("zip", "CRITICAL_HEADER", zip="DEF"),
        genuine("enc", "CRITICAL_HEADER", enc="A128CBC-HS256"),
        genuine("cty JWT", "CRITICAL_HEADER", cty="JWT"),
    ),
    *family(
        "type",
        "RFC 8725, section 3.11; RFC 9068, section 2.1",
        *(genuine(f"typ {typ!r}", "TOKEN_TYPE", typ=typ) for typ in TYPES),
        genuine("without typ", None, typ=...),
    ),
    *family(
        "JSON of the header",
        "RFC 7515, sections 4 and 5.2; RFC 8259, section 4; CVE-2025-61920",
        *(
            json_text(text)
            for text in (b"[]", b"7", b"null", b'"RS256"', b"{", b"{}{}", b"{'alg':'RS256'}")
        ),
        json_header("an empty object", lambda _: b"{}", "ALGORITHM"),
        json_header(
            "alg twice, none first",
            lambda it: b'{"alg":"none",' + it.header()[1:],
            "TOKEN_MALFORMED",
        ),
        json_header(
            "alg twice, none last",
            lambda it: it.header()[:-1] + b',"alg":"none"}',
            "TOKEN_MALFORMED",
        ),
        json_header(
            "alg twice, escaped",
            lambda it: it.header()[:-1] + b',"\\u0061lg":"none"}',
            "TOKEN_MALFORMED",
        ),
        json_header("kid twice", lambda it: it.header()[:-1] + b',"kid":"a"}', "TOKEN_MALFORMED"),
        json_header(
            "a name twice, inside",
            lambda it: it.header(x=0).replace(b": 0", b':{"a":1,"a":2}'),
            "TOKEN_MALFORMED",
        ),
        json_header("NaN", lambda it: it.header(x=0).replace(b": 0", b": NaN"), "TOKEN_MALFORMED"),
        json_header(
            "a number of 500 digits",
            lambda it: it.header(x=0).replace(b": 0", b": 1" + b"0" * 500),
            None,
        ),
        json_header("comment", lambda it: b"/**/" + it.header(), "TOKEN_MALFORMED"),
        json_header("comma at the end", lambda it: it.header()[:-1] + b",}", "TOKEN_MALFORMED"),
        json_header("byte order mark", lambda it: b"\xef\xbb\xbf" + it.header(), "TOKEN_MALFORMED"),
        json_header("UTF-16", lambda it: it.header().decode().encode("utf-16"), "TOKEN_MALFORMED"),
        json_header("UTF-32", lambda it: it.header().decode().encode("utf-32"), "TOKEN_MALFORMED"),
        json_header(
            "UTF-8, overlong",
            lambda it: it.header(x="y").replace(b"y", b"\xc0\xaf"),
            "TOKEN_MALFORMED",
        ),
        json_header(
            "Latin-1", lambda it: it.header(x="y").replace(b"y", b"\xe9"), "TOKEN_MALFORMED"
        ),
        json_header("NUL at the end", lambda it: it.header() + b"\0", "TOKEN_MALFORMED"),
        json_header(
            "NUL in a string", lambda it: it.header(x="y").replace(b"y", b"\0"), "TOKEN_MALFORMED"
        ),
        json_header("ALG", lambda it: it.header().replace(b"alg", b"ALG"), "ALGORITHM"),
        json_header("Kid", lambda it: it.header().replace(b"kid", b"Kid"), "KEY_ID"),
        json_header("ALG none beside alg", lambda it: it.header(ALG="none"), None),
        json_header(
            "alg with a zero-width space",
            lambda it: it.header().replace(b"alg", "alg\u200b".encode()),
            "ALGORITHM",
        ),
        json_header(
            "8 KiB of spaces", lambda it: it.header()[:-1] + b" " * 4000 + b"}", "TOKEN_MALFORMED"
        ),
        json_header("nested 1,000 deep", lambda it: b'{"a":' * 1000, "TOKEN_MALFORMED"),
        json_header(
            "nested 200 deep",
            lambda it: it.header(x=0).replace(b": 0", b":" + b"[" * 200 + b"]" * 200),
            None,
        ),
        json_header("white space", lambda it: b"\r\n\t " + it.header() + b"\r\n\t ", None),
        json_header(
            "escaped names and values",
            lambda it: it.header().replace(b"alg", b"\\u0061lg").replace(b"RS", b"R\\u0053"),
            None,
        ),
        json_header(
            "other order",
            lambda it: as_json(dict(reversed(it.issuer.header("firebase").items()))),
            None,
        ),
    ),
    *family(
        "encryption",
        "RFC 7516, section 9; T. Tervoort, Three New Attacks Against JSON Web Tokens (2023)",
        (
            "JWE of five parts",
            lambda it: ".".join(
                [base64url(b'{"alg":"dir","enc":"A128GCM"}'), "", "AA", "AA", "AA"]
            ),
            "TOKEN_MALFORMED",
        ),
        (
            "a header of JWE on three parts",
            lambda it: it.with_header(alg="RSA-OAEP", enc="A128GCM"),
            "ALGORITHM",
        ),
        (
            "PBES2 with a billion rounds",
            lambda it: it.with_header(alg="PBES2-HS256+A128KW", p2c=10**9),
            "ALGORITHM",
        ),
        ("five parts of a genuine token", lambda it: it.genuine() + ".AA.AA", "TOKEN_MALFORMED"),
    ),
]
