"""`python -m emulator`: run the real function on this machine, with stand-ins for Google.

It tries each step of a client once, and opens a session of each profile. Then everything runs
until Ctrl-C, with a page to talk on, unless `--once` is given. Everything listens on 127.0.0.1
only.

`POLICY_FILE` names the policy and `LIMITS_STORAGE` the storage of its limits. `PORT` (the
function), `PAGE_PORT`, `GEMINI_PORT`, `GEMINI_TLS_PORT` and `ISSUER_PORT` set ports; a port that
is not set is a free one.

With `--gemini real` the function uses the key in `GEMINI_API_KEY` and the real Gemini, or the one
at `GOOGLE_GEMINI_BASE_URL`. Otherwise neither variable is read.
"""

import argparse
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from emulator import metadata, tls
from emulator.accounts import Accounts
from emulator.app_check import AppCheck
from emulator.clock import Clock
from emulator.function import Function, NotStarted
from emulator.gemini import Behaviour, Gemini
from emulator.issuer import Issuer, certificates_at
from emulator.metadata import Metadata
from emulator.page_app import Page
from emulator.people import PEOPLE
from emulator.server import Server
from emulator.walk import Failed, Walk
from livetoken import lock
from livetoken.policy import DEFAULT_PROFILE

GEMINI = "https://generativelanguage.googleapis.com"
FIREBASE_KEYS = (
    "https://www.googleapis.com/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com"
)
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Upstream:
    """The Gemini that the function uses: a stand-in, or the real one."""

    url: str
    about: str
    key: str = field(repr=False)
    tls_url: str | None = None
    """Where google-genai finds a stand-in, since it requires TLS."""
    clock: Clock | None = None
    """The clock of a stand-in."""


def main() -> int:
    """Run the command; returns 1 if it does not start, or if a step fails with `--once`."""
    options = _options()
    for number in _ENDING:
        signal.signal(number, _interrupt)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # the function uses no proxy, and everything else is on loopback
    try:
        with tempfile.TemporaryDirectory(prefix="livetoken-") as folder:
            log = Path(folder, "log")
            with _running(options, Path(folder), log) as (walk, page_url):
                passed = 0
                try:
                    for step, result in walk.steps():
                        print(f"  {step:<14}{result}", flush=True)
                        passed += 1
                    print(f"\nAll {passed} steps passed.")
                except Failed as error:
                    if options.once:
                        raise
                    print(f"\nStep {passed + 1} failed: {error}")
                if not options.once:
                    _stay_up(walk, page_url, log)
    except (Failed, NotStarted, OSError) as error:
        print(f"\nfailed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m emulator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--once", action="store_true", help="end after the steps")
    parser.add_argument(
        "--gemini",
        choices=["stand-in", "real"],
        default="stand-in",
        help="real: use GEMINI_API_KEY and the real Gemini, which bills a few seconds of audio",
    )
    parser.add_argument(
        "--firebase", metavar="PROJECT", help="also accept the users of this Firebase project"
    )
    parser.add_argument(
        "--origin",
        metavar="URL",
        action="append",
        default=[],
        help="also accept requests of a web app on this origin, such as http://localhost:5173",
    )
    return parser.parse_args()


@contextmanager
def _running(options: argparse.Namespace, folder: Path, log: Path) -> Iterator[tuple[Walk, str]]:
    """Run everything, and stop it at the end; yields the steps and the URL of the page."""
    issuer, account = Issuer(), Metadata()
    if options.firebase:
        keys_url = os.environ.get("FIREBASE_KEYS_URL") or FIREBASE_KEYS
        issuer = Issuer(options.firebase, also=certificates_at(keys_url))
    app_check = AppCheck(issuer.firebase_project, access_tokens=account.access_tokens)
    accounts = Accounts(issuer.firebase_project, access_tokens=account.access_tokens)
    policy_file = os.environ.get("POLICY_FILE") or "policy.toml"
    with ExitStack() as running:
        start = running.enter_context
        upstream = start(_real_gemini() if options.gemini == "real" else _stand_in(folder))
        page = Page(Path(policy_file), issuer, app_check, gemini_url=upstream.url)
        issuer_at = start(Server(issuer.app, plain=_port("ISSUER_PORT")))
        app_check_at = start(Server(app_check.app))
        accounts_at = start(Server(accounts.app))
        account_at = start(Server(account.app))
        page_at = start(Server(page.app, plain=_port("PAGE_PORT")))
        environment = {
            "GEMINI_API_KEY": upstream.key,
            "POLICY_FILE": policy_file,
            "FIREBASE_PROJECT_ID": issuer.firebase_project,
            "GOOGLE_CLIENT_IDS": issuer.google_client_id,
            "ALLOWED_ORIGINS": ",".join([*page.origins(page_at.url), *options.origin]),
            "GOOGLE_GEMINI_BASE_URL": upstream.url,
            "FIREBASE_KEYS_URL": f"{issuer_at.url}/keys/firebase",
            "GOOGLE_KEYS_URL": f"{issuer_at.url}/keys/google",
            "FIREBASE_PROJECT_NUMBER": app_check.project_number,
            "APP_CHECK_BASE_URL": app_check_at.url,
            "IDENTITY_TOOLKIT_BASE_URL": accounts_at.url,
            "LIMITS_STORAGE": os.environ.get("LIMITS_STORAGE", ""),
            "SAFETY_IDENTIFIER_KEY": secrets.token_hex(),
            "CLOUDSDK_CONFIG": str(folder),  # keeps out the credentials of this machine's user
            **metadata.environment(account_at.url),
        }
        output = start(log.open("wb"))
        function = start(Function(environment, log=output, port=_port("PORT")))
        function.wait_until_up()
        page.function_url = function.url
        names = lock.load(Path(policy_file), lambda _: None).profiles
        profiles = sorted(names, key=lambda name: name != DEFAULT_PROFILE)  # the default is first
        users = f"test users: {', '.join(PEOPLE)}"
        if options.firebase:
            users += f"; users of {options.firebase} are accepted too"
        print(f"page      {page_at.url}")
        print(f"function  {function.url}")
        print(f"Gemini    {upstream.url} ({upstream.about})")
        print(f"issuer    {issuer_at.url} ({users})")
        print(f"App Check {app_check_at.url} (stand-in)\n", flush=True)
        walk = Walk(
            function.url,
            issuer_at.url,
            app_check_at.url,
            profiles,
            upstream.tls_url,
            upstream.clock,
        )
        yield walk, page_at.url


@contextmanager
def _stand_in(folder: Path) -> Iterator[Upstream]:
    certificate = tls.certificate(folder / "tls")
    os.environ["SSL_CERT_FILE"] = str(certificate.ca_file)  # for google-genai and the function
    clock, key = Clock(), secrets.token_urlsafe(30)
    gemini = Gemini(Behaviour(api_key=key, plays=True), clock)
    with Server(
        gemini.app,
        plain=_port("GEMINI_PORT"),
        tls=_port("GEMINI_TLS_PORT"),
        certificate=certificate,
        pong_after=lambda: gemini.behaviour.pong_after,
    ) as at:
        # The function gets the plain URL because browsers do not trust our certificate.
        yield Upstream(at.url, "stand-in", key, at.tls_url, clock)


@contextmanager
def _real_gemini() -> Iterator[Upstream]:
    key = os.environ.pop("GEMINI_API_KEY", "")  # only the function gets it
    if not key:
        raise NotStarted("--gemini real needs your API key in GEMINI_API_KEY")
    url = os.environ.get("GOOGLE_GEMINI_BASE_URL") or GEMINI
    yield Upstream(url, "the real one, with your key", key)


def _stay_up(walk: Walk, page_url: str, log: Path) -> None:
    """Print how to use it, then what the function logs, until Ctrl-C."""
    token = f"$(curl -s {walk.issuer_url}/token/ada)"
    app_check = f"$(curl -s {walk.app_check_url}/token)"
    print(f"\nRunning until Ctrl-C. Open the page in a browser:\n\n  {page_url}\n")
    print("Or call the function:\n")
    print(f'  curl -X POST {walk.function_url} -H "Authorization: Bearer {token}"')
    print("\nIf the policy asks for App Check, add:\n")
    print(f'  -H "X-Firebase-AppCheck: {app_check}"')
    print("\nThe function's log:\n", flush=True)
    with log.open() as lines:
        while True:
            sys.stdout.write(lines.read())
            sys.stdout.flush()
            time.sleep(0.2)


def _port(name: str) -> int:
    port = os.environ.get(name) or "0"
    if not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise NotStarted(f"{name} is not a port: {port}")
    return int(port)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End, and ignore further signals so that a second Ctrl-C does not interrupt the cleanup."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
