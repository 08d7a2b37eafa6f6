"""The options of `smoke`."""

import argparse
import ipaddress
import shlex
from dataclasses import dataclass
from urllib.parse import urlsplit

from livetoken.origins import ORIGIN

ANY = "*"
"""Instead of an origin: any origin is allowed."""

SECONDS = 30.0  # longer than the function's own deadlines, and enough for a model to say hello


@dataclass(frozen=True)
class Options:
    """One run. `profiles` are the names of the profiles to check; empty means all."""

    url: str
    id_token_command: tuple[str, ...] | None
    app_check_command: tuple[str, ...] | None
    origins: tuple[str, ...]
    profiles: tuple[str, ...]
    seconds: float

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> "Options":
        """Read the parsed arguments."""
        return cls(
            arguments.url,
            arguments.id_token_command,
            arguments.app_check_command,
            tuple(dict.fromkeys(arguments.origin)),
            tuple(dict.fromkeys(arguments.profile)),
            arguments.timeout,
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `smoke`, except `--policy`."""
    parser.add_argument("url", metavar="URL", type=_url, help="the URL of the function")
    parser.add_argument(
        "--id-token-command",
        metavar="CMD",
        type=_command,
        help="prints the ID token of a test user; without it, checks that need one are skipped",
    )
    parser.add_argument(
        "--app-check-command",
        metavar="CMD",
        type=_command,
        help="prints a fresh App Check token; run for each request",
    )
    parser.add_argument(
        "--origin",
        action="append",
        default=[],
        type=_origin,
        help='must be allowed; "*" means that any origin is; can be repeated',
    )
    parser.add_argument(
        "--profile",
        action="append",
        default=[],
        metavar="NAME",
        help="check only this profile; can be repeated",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=SECONDS,
        metavar="SECONDS",
        help="for one request, command or session; default: %(default)g",
    )


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not text.isascii() or not text.isprintable() or " " in text:
        raise argparse.ArgumentTypeError("is not a URL such as https://livetoken.example")
    if parts.username is not None or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError("contains more than scheme, host, port and path")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise argparse.ArgumentTypeError("must be https://; http:// is for loopback hosts only")
    return text


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _command(text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is not a command: {error}") from None
    if not words:
        raise argparse.ArgumentTypeError("is empty")
    return words


def _origin(text: str) -> str:
    if text != ANY and not ORIGIN.fullmatch(text):
        raise argparse.ArgumentTypeError(
            "is not an origin as browsers send it, such as https://app.example.com: lower case, no"
            " path, no final slash"
        )
    return text


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError("must be over 0 and at most 3600")
    return seconds
