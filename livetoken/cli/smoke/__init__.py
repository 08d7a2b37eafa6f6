"""`python -m livetoken smoke`: test a deployment from outside, and its options."""

import argparse
import shlex

from livetoken.settings import origin_mistake, url_mistake

SECONDS = 30.0  # longer than the function's own deadlines, and enough for a model to say hello


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `smoke`, except `--policy`."""
    add = parser.add_argument
    add("url", metavar="URL", type=_url, help="the URL of the function")
    sign_in = "prints the ID token of a test user; without it, checks that need one are skipped"
    add("--id-token-command", metavar="CMD", type=_command, help=sign_in)
    app_check = "prints a fresh App Check token; run for each request"
    add("--app-check-command", metavar="CMD", type=_command, help=app_check)
    allowed = 'must be allowed; "*" means that any origin is; can be repeated'
    add("--origin", action="append", default=[], type=_origin, help=allowed)
    profile = "check only this profile; can be repeated"
    add("--profile", action="append", default=[], metavar="NAME", help=profile)
    timeout = "for one request, command or session; default: %(default)g"
    add("--timeout", metavar="SECONDS", type=_seconds, default=SECONDS, help=timeout)


def _url(text: str) -> str:
    return _checked(text, url_mistake(text, "https://livetoken.example"))


def _origin(text: str) -> str:
    return _checked(text, origin_mistake(text))


def _command(text: str) -> tuple[str, ...]:
    return tuple(shlex.split(_checked(text, None if text.strip() else "is empty")))


def _seconds(text: str) -> float:
    in_range = 0 < float(text) <= 3600
    return float(_checked(text, None if in_range else "must be over 0 and at most 3600"))


def _checked(text: str, mistake: str | None) -> str:
    if mistake:
        raise argparse.ArgumentTypeError(mistake)
    return text
