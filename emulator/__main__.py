"""`python -m emulator`: the real function with stand-ins of all it talks to, on loopback alone.

The whole path is walked once; then everything stays up until Ctrl-C, with a page to talk on, unless
`--once` is given. `POLICY_FILE` names a policy to try, `LIMITS_STORAGE` where its limits count.
`PORT` (the function), `PAGE_PORT`, `GEMINI_PORT`, `GEMINI_TLS_PORT` and `ISSUER_PORT` name ports;
each is a free one otherwise.
"""

import argparse
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from google.genai.errors import APIError

from emulator import metadata, tls
from emulator.app_check import AppCheck
from emulator.clock import Clock
from emulator.function import Function, NotStarted
from emulator.gemini import Behaviour, Gemini
from emulator.issuer import Issuer
from emulator.metadata import Metadata
from emulator.page_app import Page
from emulator.people import PEOPLE
from emulator.server import Server
from emulator.walk import Failed, Walk
from livetoken import lock
from livetoken.policy import DEFAULT_PROFILE

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run it; returns 1 where it does not start, or with `--once` a step of the walk fails."""
    parser = argparse.ArgumentParser(prog="python -m emulator", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the walk")
    once = parser.parse_args().once
    for number in _ENDING:
        signal.signal(number, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="livetoken-") as folder:
            log = Path(folder, "log")
            with _running(Path(folder), log) as (walk, page_url):
                try:
                    walk.steps(_say)
                    print("\nWalked: every step as it must be.")
                except (Failed, APIError) as error:
                    if once:
                        raise
                    print(f"\nNot walked to its end: {error}")
                if not once:
                    _stay_up(walk, page_url, log)
    except (Failed, NotStarted, APIError, OSError) as error:
        print(f"\nfailed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
    return 0


@contextmanager
def _running(folder: Path, log: Path) -> Iterator[tuple[Walk, str]]:
    """Everything up, and down again whatever happens: the walk, and where the page is."""
    certificate = tls.certificate(folder / "tls")
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # everything is on loopback
    os.environ["SSL_CERT_FILE"] = str(certificate.ca_file)  # for google-genai and the function
    clock, issuer, key = Clock(), Issuer(), secrets.token_urlsafe(30)
    gemini, account = Gemini(Behaviour(api_key=key, plays=True), clock), Metadata()
    app_check = AppCheck(access_tokens=account.access_tokens)
    policy_file = os.environ.get("POLICY_FILE", "policy.toml")
    page = Page(Path(policy_file), issuer, app_check)
    with (
        Server(
            gemini.app,
            plain=_port("GEMINI_PORT"),
            tls=_port("GEMINI_TLS_PORT"),
            certificate=certificate,
        ) as gemini_at,
        Server(issuer.app, plain=_port("ISSUER_PORT")) as issuer_at,
        Server(app_check.app) as app_check_at,
        Server(account.app) as account_at,
        Server(page.app, plain=_port("PAGE_PORT")) as page_at,
        log.open("wb") as output,
    ):
        environment = {
            "GEMINI_API_KEY": key,
            "POLICY_FILE": policy_file,
            "FIREBASE_PROJECT_ID": issuer.firebase_project,
            "GOOGLE_CLIENT_IDS": issuer.google_client_id,
            "ALLOWED_ORIGINS": ",".join(page.origins(page_at.url)),
            "GOOGLE_GEMINI_BASE_URL": gemini_at.url,  # browsers trust no authority of ours
            "FIREBASE_KEYS_URL": f"{issuer_at.url}/keys/firebase",
            "GOOGLE_KEYS_URL": f"{issuer_at.url}/keys/google",
            "FIREBASE_PROJECT_NUMBER": app_check.project_number,
            "APP_CHECK_BASE_URL": app_check_at.url,
            "LIMITS_STORAGE": os.environ.get("LIMITS_STORAGE", ""),
            "CLOUDSDK_CONFIG": str(folder),  # no credentials of this machine's user
            **metadata.environment(account_at.url),
        }
        with Function(environment, log=output, port=_port("PORT")) as function:
            function.wait_until_up()
            page.function_url = function.url
            profiles = lock.load(Path(policy_file), lambda _: None).profiles
            profile = DEFAULT_PROFILE if DEFAULT_PROFILE in profiles else next(iter(profiles))
            print(f"page      {page_at.url}")
            print(f"function  {function.url}")
            print(f"Gemini    {gemini_at.url} (a stand-in)")
            print(f"issuer    {issuer_at.url} (of test people: {', '.join(PEOPLE)})")
            print(f"App Check {app_check_at.url} (a stand-in)\n")
            yield (
                Walk(
                    function.url,
                    issuer_at.url,
                    app_check_at.url,
                    gemini_at.tls_url,
                    profile,
                    clock,
                ),
                page_at.url,
            )


def _say(step: str, outcome: str) -> None:
    print(f"  {step:<14}{outcome}", flush=True)


def _stay_up(walk: Walk, page_url: str, log: Path) -> None:
    """Print the page's address and a line to paste, then what the function logs, until Ctrl-C."""
    token = f"$(curl -s {walk.issuer_url}/token/ada)"
    app_check = f"$(curl -s {walk.app_check_url}/token)"
    print(f"It stays up until Ctrl-C. Talk to it, in a browser:\n\n  {page_url}\n")
    print("Ask it yourself:\n")
    print(f'  curl -X POST {walk.function_url} -H "Authorization: Bearer {token}"')
    print("\nWhere the policy asks for App Check, with this as well:\n")
    print(f'  -H "X-Firebase-AppCheck: {app_check}"')
    print("\nWhat it logs:\n", flush=True)
    with log.open() as lines:
        while True:
            sys.stdout.write(lines.read())
            sys.stdout.flush()
            time.sleep(0.2)


def _port(name: str) -> int:
    port = os.environ.get(name) or "0"
    if not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise NotStarted(f"{name} is no port: {port}")
    return int(port)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End, and let no second Ctrl-C break into the tidying up."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
