"""The corpus of ID tokens: `headers`, `claims`, `foreign`, and signatures, forms and encodings."""

from collections.abc import Callable
from itertools import count

from claims import CLAIMS
from foreign import FOREIGN
from forge import Attack, Forge, Row, family
from headers import HEADERS
from unfit_keys import SHORT

from emulator.jwt import base64url
from emulator.people import Kind

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def signature(name: str, change: Callable[[bytes], bytes], expected: str = "SIGNATURE") -> Row:
    """A genuine token with its signature changed."""
    return name, lambda forge: forge.segments(change=change), expected


def text(name: str, change: Callable[[str], str], expected: str = "TOKEN_MALFORMED") -> Row:
    """A genuine token with its text changed."""
    return name, lambda forge: change(forge.genuine()), expected


def swapped(name: str, part: int) -> Row:
    """A genuine token with one segment of another person's."""

    def make(forge: Forge) -> str:
        parts = forge.genuine().split(".")
        parts[part] = forge.genuine("grace").split(".")[part]
        return ".".join(parts)

    return name, make, "SIGNATURE"


def signed_as(name: str, person: str, kid: Kind, key: Kind, expected: str) -> Row:
    """A person's token with the key id and the key of two issuers."""

    def make(forge: Forge) -> str:
        private = forge.issuer.keys[key][-1].private
        return forge.issuer.sign(forge.issuer.claims(person), kind=kid, key=private)

    return name, make, expected


def in_part(part: int, change: Callable[[str], str]) -> Callable[[str], str]:
    """Change one segment of a token."""

    def changed(token: str) -> str:
        parts = token.split(".")
        parts[part] = change(parts[part])
        return ".".join(parts)

    return changed


def spare_bits(forge: Forge, part: int) -> str:
    """A genuine token in another spelling: the last character of a segment has unused bits."""

    def spelt(segment: str) -> str:
        assert len(segment) % 4 in (2, 3)
        return segment[:-1] + ALPHABET[ALPHABET.index(segment[-1]) + 1]

    def unaligned(data: bytes) -> str:
        return base64url(data + b" " * (len(data) % 3 == 0))

    parts = [unaligned(forge.header()), unaligned(forge.claims())]
    if part < 2:
        parts[part] = spelt(parts[part])
    signed = ".".join(parts)
    last = base64url(forge.sign(signed))
    return f"{signed}.{last if part < 2 else spelt(last)}"


def standard(forge: Forge) -> str:
    """A genuine token in the alphabet of base64 instead of base64url."""
    for number in count():
        token = forge.genuine(nonce=number)
        if "-" in token or "_" in token:
            return token.translate(str.maketrans("-_", "+/"))
    raise AssertionError


SIGNATURES = [
    *family(
        "signature",
        "RFC 8017, section 8.2.2; CVE-2020-28042; CVE-2022-21449; CVE-2006-4339",
        signature("empty", lambda _: b""),
        signature("one byte", lambda _: b"\0"),
        signature("a byte less at the end", lambda it: it[:-1]),
        signature("a byte less at the start", lambda it: it[1:]),
        signature("a zero more at the end", lambda it: it + b"\0"),
        signature("a zero more at the start", lambda it: b"\0" + it),
        signature("twice", lambda it: it + it),
        signature("reversed", lambda it: it[::-1]),
        signature("one bit flipped", lambda it: it[:-1] + bytes([it[-1] ^ 1])),
        signature("psychic: 64 zeros", lambda _: bytes(64)),
        signature("256 zeros", lambda _: bytes(256)),
        signature("one", lambda _: bytes(255) + b"\1"),
        signature("256 ones", lambda _: b"\xff" * 256),
        signature("5,000 zeros", lambda _: bytes(5000)),
        signature("as text", lambda it: it.hex().encode()),
        ("plus the modulus", lambda it: it.segments(change=it.plus_modulus), "SIGNATURE"),
        ("another digest's label", lambda it: it.mislabelled(), "SIGNATURE"),
        ("removed by Cloud Run", lambda it: it.removed(), "SIGNATURE_REMOVED_BY_GOOGLE"),
        ("removed, in another case", lambda it: it.removed(str.lower), "TOKEN_MALFORMED"),
    ),
    *family(
        "wrong key",
        "RFC 7515, section 5.2; RFC 8725, section 3.8",
        ("a stranger's", lambda forge: forge.strange(), "SIGNATURE"),
        ("a stranger's of 1,024 bits", lambda forge: forge.signed_by(SHORT), "SIGNATURE"),
        signed_as("Google's, of Firebase's id", "ada", "firebase", "google", "SIGNATURE"),
        signed_as("Google's, of its id", "ada", "google", "google", "ISSUER"),
        signed_as("Firebase's, of Google's id", "grace", "google", "firebase", "SIGNATURE"),
        signed_as("Firebase's, of its id", "grace", "firebase", "firebase", "ISSUER"),
        ("App Check's", lambda it: it.signed_by(it.app_check.keys[-1].private), "SIGNATURE"),
        (
            "App Check's, of its id",
            lambda it: it.signed_by(it.app_check.keys[-1].private, kid=it.app_check.kid),
            "UNKNOWN_KEY",
        ),
    ),
    *family(
        "mixed segments",
        "RFC 7515, section 5.2; CVE-2022-39227",
        swapped("another's header", 0),
        swapped("another's claims", 1),
        swapped("another's signature", 2),
        text("segments in reverse", lambda it: ".".join(it.split(".")[::-1])),
        text("without signature and dot", lambda it: it.rpartition(".")[0]),
        text("without claims", lambda it: "..".join(it.split(".")[::2])),
        text("without header", lambda it: "." + it.partition(".")[2]),
        text("two dots", lambda it: it.replace(".", "..")),
        text("a dot more", lambda it: it + "."),
        text("a segment more", lambda it: it + ".AA"),
        text("two tokens with a dot", lambda it: f"{it}.{it}"),
        text("two tokens with a comma", lambda it: f"{it},{it}", "NOT_BEARER"),
        text("two tokens with a space", lambda it: f"{it} {it}", "NOT_BEARER"),
        text("Bearer twice", lambda it: f"Bearer {it}", "NOT_BEARER"),
        text("JSON serialisation", lambda it: f'{{"payload":"{it.split(".")[1]}"}}', "NOT_BEARER"),
        text("in quotes", lambda it: f'"{it}"', "NOT_BEARER"),
        text("as a parameter", lambda it: f'token="{it}"', "NOT_BEARER"),
        text("claims only", lambda it: it.split(".")[1]),
        text("dots only", lambda _: ".."),
        text("thousands of dots", lambda _: "." * 8000),
        text("over 8 KiB", lambda it: it + "A" * 8192, "TOKEN_TOO_LONG"),
    ),
    *family(
        "base64url",
        "RFC 4648, sections 3.2 to 3.5 and 5; RFC 7515, section 2",
        ("spare bits in the header", lambda forge: spare_bits(forge, 0), "TOKEN_MALFORMED"),
        ("spare bits in the claims", lambda forge: spare_bits(forge, 1), "TOKEN_MALFORMED"),
        ("spare bits in the signature", lambda forge: spare_bits(forge, 2), "TOKEN_MALFORMED"),
        ("base64 instead of base64url", standard, "TOKEN_MALFORMED"),
        text("padding of the header", in_part(0, lambda it: f"{it}="), "NOT_BEARER"),
        text("padding of the claims", in_part(1, lambda it: f"{it}=="), "NOT_BEARER"),
        text("padding of the signature", lambda it: f"{it}=="),
        text("a character more in the header", in_part(0, lambda it: it + "A" * (5 - len(it) % 4))),
        text("a space inside", in_part(1, lambda it: f"{it[:9]} {it[9:]}"), "NOT_BEARER"),
        text("a tab inside", in_part(1, lambda it: f"{it[:9]}\t{it[9:]}"), "NOT_BEARER"),
        text("a tilde inside", in_part(1, lambda it: f"{it[:9]}~{it[9:]}")),
        text("a percent sign inside", in_part(1, lambda it: f"{it[:9]}%41{it[9:]}"), "NOT_BEARER"),
        text("Latin-1 inside", in_part(1, lambda it: f"{it[:9]}\xe9{it[9:]}"), "NOT_BEARER"),
        text("a soft hyphen inside", in_part(2, lambda it: f"{it[:9]}\xad{it[9:]}"), "NOT_BEARER"),
        text("a non-breaking space at the end", lambda it: f"{it}\xa0", "NOT_BEARER"),
        text("the header as JSON", in_part(0, lambda _: '{"alg":"RS256"}'), "NOT_BEARER"),
        text("in hex", in_part(0, lambda it: it.encode().hex())),
        text("encoded twice", in_part(0, lambda it: base64url(it.encode()))),
    ),
]

TOKENS: list[Attack] = [*HEADERS, *SIGNATURES, *CLAIMS, *FOREIGN]
