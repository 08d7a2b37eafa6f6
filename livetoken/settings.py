"""The facts of one deployment, read from the environment once, at start."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pyreqwest.http import Url

from livetoken import limits
from livetoken.origins import ORIGIN
from livetoken.policy import Policy
from livetoken.problems import Problems

GEMINI = "https://generativelanguage.googleapis.com"
FIREBASE_KEYS = (
    "https://www.googleapis.com/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com"
)
GOOGLE_KEYS = "https://www.googleapis.com/oauth2/v1/certs"
APP_CHECK = "https://firebaseappcheck.googleapis.com"
IN_MEMORY = "async+memory://"

VARIABLES = (
    "GEMINI_API_KEY",
    "FIREBASE_PROJECT_ID",
    "GOOGLE_CLIENT_IDS",
    "FIREBASE_PROJECT_NUMBER",
    "ALLOWED_ORIGINS",
    "POLICY_FILE",
    "LIMITS_STORAGE",
    "GOOGLE_GEMINI_BASE_URL",
    "FIREBASE_KEYS_URL",
    "GOOGLE_KEYS_URL",
    "APP_CHECK_BASE_URL",
    "GOOGLE_CLOUD_PROJECT",
)
"""Every variable that a deployment may set."""

GCLOUD_CLIENT_IDS = (
    "32555940559.apps.googleusercontent.com",
    "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur.apps.googleusercontent.com",
)
"""gcloud's own OAuth clients, for its user and for application-default credentials: everybody with
a Google account gets ID tokens of them."""

_PROJECT_ID = re.compile(r"[a-z][a-z0-9.:-]{3,61}[a-z0-9]")
_PROJECT_NUMBER = re.compile(r"[1-9][0-9]{0,19}")
_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,255}")
_API_KEY = re.compile(r"[!-~]+")
_NUMERIC_HOST = re.compile(r"[0-9.]*|.*:.*|.*\.[0-9]+")
_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~@%/-]*)?")


@dataclass(frozen=True)
class Settings:
    """One deployment. Secrets are kept out of `repr`, and so out of every message made of it."""

    api_key: str = field(repr=False)
    firebase_projects: tuple[str, ...]
    firebase_project_number: str | None
    google_client_ids: tuple[str, ...]
    allowed_origins: frozenset[str]
    gemini_base_url: str
    firebase_keys_url: str
    google_keys_url: str
    app_check_base_url: str
    limits_storage: str = field(repr=False)
    trace_project: str | None

    @classmethod
    def read(cls, environ: Mapping[str, str], policy: Policy) -> "Settings":
        """Read and check the whole environment, against what the policy needs of it.

        Raises:
            Problems: everything that is wrong, with no value quoted that could be a secret.
        """
        problems: list[str] = []
        projects = _names(environ, "FIREBASE_PROJECT_ID", _PROJECT_ID, problems)
        client_ids = _names(environ, "GOOGLE_CLIENT_IDS", _CLIENT_ID, problems)
        if not environ.get("FIREBASE_PROJECT_ID") and not environ.get("GOOGLE_CLIENT_IDS"):
            problems.append("FIREBASE_PROJECT_ID or GOOGLE_CLIENT_IDS: at least one is required")
        narrowed = any(each.claim in (("email",), ("hd",)) for each in policy.callers.require)
        for client_id in set(client_ids) & set(GCLOUD_CLIENT_IDS) if not narrowed else ():
            problems.append(
                f"GOOGLE_CLIENT_IDS: {client_id} is gcloud's own and lets in everybody who"
                " has a Google account, unless [callers] has require on hd or email"
            )
        number = environ.get("FIREBASE_PROJECT_NUMBER") or None
        if number is not None and not _PROJECT_NUMBER.fullmatch(number):
            problems.append("FIREBASE_PROJECT_NUMBER: is no project number")
        if policy.callers.app_check != "off":
            if number is None:
                problems.append("FIREBASE_PROJECT_NUMBER: is required with App Check")
            if len(projects) != 1:
                problems.append("FIREBASE_PROJECT_ID: must be one project with App Check")
        storage = environ.get("LIMITS_STORAGE") or IN_MEMORY
        if not limits.is_taken(storage) or (policy.is_limited and not limits.is_storage(storage)):
            known = " or ".join(f"{scheme}://" for scheme in limits.SCHEMES)
            problems.append(f"LIMITS_STORAGE: is no storage URI of {known}")
        settings = cls(
            api_key=_api_key(environ, problems),
            firebase_projects=projects,
            firebase_project_number=number,
            google_client_ids=client_ids,
            allowed_origins=_origins(environ, problems),
            gemini_base_url=_url(environ, "GOOGLE_GEMINI_BASE_URL", GEMINI, problems),
            firebase_keys_url=_url(environ, "FIREBASE_KEYS_URL", FIREBASE_KEYS, problems),
            google_keys_url=_url(environ, "GOOGLE_KEYS_URL", GOOGLE_KEYS, problems),
            app_check_base_url=_url(environ, "APP_CHECK_BASE_URL", APP_CHECK, problems),
            limits_storage=storage,
            trace_project=environ.get("GOOGLE_CLOUD_PROJECT") or next(iter(projects), None),
        )
        if problems:
            raise Problems(problems)
        return settings


def policy_file(environ: Mapping[str, str]) -> Path:
    """The path of the policy."""
    return Path(environ.get("POLICY_FILE") or "policy.toml")


def _api_key(environ: Mapping[str, str], problems: list[str]) -> str:
    key = environ.get("GEMINI_API_KEY", "")
    if not key:
        problems.append("GEMINI_API_KEY: is required")
    elif not _API_KEY.fullmatch(key):
        problems.append(
            "GEMINI_API_KEY: holds white space or a character that is not ASCII; a secret made with"
            " echo ends in a line feed"
        )
    return key


def _list(environ: Mapping[str, str], name: str) -> Iterator[str]:
    return filter(None, (item.strip() for item in environ.get(name, "").split(",")))


def _names(
    environ: Mapping[str, str], name: str, form: re.Pattern[str], problems: list[str]
) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(_list(environ, name)))
    for number, item in enumerate(names, 1):
        if not form.fullmatch(item):
            problems.append(f"{name}: name {number} is not well-formed")
    if not names and environ.get(name):
        problems.append(f"{name}: holds no name")
    return names


def _origins(environ: Mapping[str, str], problems: list[str]) -> frozenset[str]:
    origins = tuple(_list(environ, "ALLOWED_ORIGINS"))
    for number, origin in enumerate(origins, 1):
        if origin == "*":
            continue
        if not _is_origin(origin):
            problems.append(
                f"ALLOWED_ORIGINS: origin {number} is none as browsers send it, such as"
                " https://app.example.com: lower case, no path, no final slash"
            )
        elif origin.startswith("http://") and not _is_loopback(_host(origin) or ""):
            problems.append(f"ALLOWED_ORIGINS: origin {number} must be https://, or loopback")
    return frozenset(origins)


def _is_origin(text: str) -> bool:
    """Whether it is an origin (RFC 6454) whose host and port can be."""
    return bool(ORIGIN.fullmatch(text)) and _host(text) is not None


def _url(environ: Mapping[str, str], name: str, default: str, problems: list[str]) -> str:
    url = environ.get(name) or default
    host = _host(url) if _URL.fullmatch(url) else None
    if host is None:
        problems.append(f"{name}: is no plain URL such as {default}")
    elif url.startswith("http://") and not _is_loopback(host):
        problems.append(f"{name}: must be https://; http:// is for loopback hosts alone")
    return url.rstrip("/")


def _host(url: str) -> str | None:
    """The host of a URL, a name or an IP address; None where no request can be made to it."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if _NUMERIC_HOST.fullmatch(host):
            ipaddress.ip_address(host)
        Url(url)
        return host if parts.port != 0 else None
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (
        bool(_NUMERIC_HOST.fullmatch(host)) and ipaddress.ip_address(host).is_loopback
    )
