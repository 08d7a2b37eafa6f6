"""The environment of one deployment, read and checked once, at start."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from livetoken.limits import storages
from livetoken.limits.storages import IN_MEMORY
from livetoken.mistakes import Mistake, Mistakes
from livetoken.origins import host, is_loopback, is_origin, pattern_mistake
from livetoken.policy import Policy
from livetoken.safety_identifier import LEAST_KEY

GEMINI = "https://generativelanguage.googleapis.com"
FIREBASE_KEYS = (
    "https://www.googleapis.com/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com"
)
GOOGLE_KEYS = "https://www.googleapis.com/oauth2/v1/certs"
APP_CHECK = "https://firebaseappcheck.googleapis.com"
IDENTITY_TOOLKIT = "https://identitytoolkit.googleapis.com"
STORAGE = "https://storage.googleapis.com"
FIRESTORE = "https://firestore.googleapis.com"

DEFAULT_FILE = Path("policy.toml")

VARIABLES = (
    "GEMINI_API_KEY",
    "FIREBASE_PROJECT_ID",
    "GOOGLE_CLIENT_IDS",
    "FIREBASE_PROJECT_NUMBER",
    "ALLOWED_ORIGINS",
    "POLICY_FILE",
    "LIMITS_STORAGE",
    "SAFETY_IDENTIFIER_KEY",
    "SWITCH_OBJECT",
    "SWITCH_UNREADABLE",
    "GOOGLE_GEMINI_BASE_URL",
    "FIREBASE_KEYS_URL",
    "GOOGLE_KEYS_URL",
    "APP_CHECK_BASE_URL",
    "IDENTITY_TOOLKIT_BASE_URL",
    "STORAGE_BASE_URL",
    "FIRESTORE_BASE_URL",
    "GOOGLE_CLOUD_PROJECT",
)
"""Every variable that a deployment may set."""

SECRETS = ("GEMINI_API_KEY", "SAFETY_IDENTIFIER_KEY")
"""Those that must come from Secret Manager."""

FRAMEWORK_VARIABLES = ("DEBUG", "WORKERS", "WEB_CONCURRENCY")
"""Variables of functions-framework and gunicorn that are checked. Cloud Run needs none of them."""

GCLOUD_CLIENT_IDS = (
    "32555940559.apps.googleusercontent.com",
    "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur.apps.googleusercontent.com",
)
"""gcloud's own OAuth clients, for its user and for application-default credentials. Everybody with
a Google account can get ID tokens of them."""

_PROJECT_ID = re.compile(r"[a-z][a-z0-9.:-]{3,61}[a-z0-9]")
_PROJECT_NUMBER = re.compile(r"[1-9][0-9]{0,19}")
_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,255}")
_SECRET = re.compile(r"[!-~]+")
_PLACE = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]/[A-Za-z0-9_][A-Za-z0-9._/-]{0,254}")
_UNREADABLE = ("keep", "refuse")
_OFF = ("", "0", "f", "false", "n", "no", "off")  # what click reads as a switch that is off
_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~@%/-]*)?")


@dataclass(frozen=True)
class AppCheckSettings:
    """How App Check tokens are verified.

    `apps` are the accepted app ids; if there are none, those of all apps of the project.
    """

    project: str
    project_number: str
    base_url: str
    apps: tuple[str, ...]


@dataclass(frozen=True)
class SwitchSettings:
    """Where the owner's switch is: an object, `gs://BUCKET/OBJECT`.

    `keeps` is whether the last known state applies while it cannot be read.
    """

    place: str
    base_url: str
    keeps: bool


@dataclass(frozen=True)
class Settings:
    """One deployment. Secrets are kept out of `repr`, and so out of messages made of it.

    `safety_identifier_key` is None if the policy does not ask for identifiers, `switch` if there is
    none.
    """

    api_key: str = field(repr=False)
    firebase_projects: tuple[str, ...]
    google_client_ids: tuple[str, ...]
    allowed_origins: frozenset[str]
    gemini_base_url: str
    firebase_keys_url: str
    google_keys_url: str
    identity_toolkit_url: str
    app_check: AppCheckSettings
    limits_storage: str = field(repr=False)
    firestore_url: str
    safety_identifier_key: str | None = field(repr=False)
    switch: SwitchSettings | None
    trace_project: str | None

    @classmethod
    def read(cls, environ: Mapping[str, str], policy: Policy) -> "Settings":
        """Read and check the whole environment, for what the policy needs.

        Raises:
            Mistakes: every mistake. No value that could be a secret is quoted.
        """
        reader = _Reader(environ)
        settings = reader.settings(policy, policy.app_check)
        if reader.found:
            raise Mistakes(reader.found)
        return settings

    @staticmethod
    def mistakes(environ: Mapping[str, str], app_check: str) -> list[Mistake]:
        """Return the mistakes in the environment of a policy that has mistakes itself."""
        reader = _Reader(environ)
        reader.settings(None, app_check)
        return reader.found


def policy_file(environ: Mapping[str, str]) -> Path:
    """Return the path of the policy."""
    return Path(environ.get("POLICY_FILE") or DEFAULT_FILE)


class _Reader:
    """Reads variables, and collects in `found` what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.found: list[Mistake] = []

    def settings(self, policy: Policy | None, app_check: str) -> Settings:
        self._framework(policy)
        projects = self._names("FIREBASE_PROJECT_ID", _PROJECT_ID)
        return Settings(
            firebase_projects=projects,
            google_client_ids=self._client_ids(policy),
            app_check=self._app_check(app_check, policy, projects),
            identity_toolkit_url=self._url("IDENTITY_TOOLKIT_BASE_URL", IDENTITY_TOOLKIT),
            limits_storage=self._storage(),
            safety_identifier_key=self._safety_identifier_key(policy),
            switch=self._switch(),
            firestore_url=self._url("FIRESTORE_BASE_URL", FIRESTORE),
            api_key=self._api_key(),
            allowed_origins=self._origins(),
            gemini_base_url=self._url("GOOGLE_GEMINI_BASE_URL", GEMINI),
            firebase_keys_url=self._url("FIREBASE_KEYS_URL", FIREBASE_KEYS),
            google_keys_url=self._url("GOOGLE_KEYS_URL", GOOGLE_KEYS),
            trace_project=self._get("GOOGLE_CLOUD_PROJECT") or next(iter(projects), None),
        )

    def _get(self, name: str) -> str:
        return self._environ.get(name) or ""

    def _wrong(self, name: str, message: str) -> None:
        self.found.append(Mistake(name, message))

    def _list(self, name: str) -> Iterator[str]:
        return filter(None, (item.strip() for item in self._get(name).split(",")))

    def _names(self, name: str, form: re.Pattern[str]) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(self._list(name)))
        for number, item in enumerate(names, 1):
            if not form.fullmatch(item):
                self._wrong(name, f"name {number} is not well-formed")
        if not names and self._get(name):
            self._wrong(name, "contains no name")
        return names

    def _client_ids(self, policy: Policy | None) -> tuple[str, ...]:
        client_ids = self._names("GOOGLE_CLIENT_IDS", _CLIENT_ID)
        if not self._get("FIREBASE_PROJECT_ID") and not self._get("GOOGLE_CLIENT_IDS"):
            self._wrong("FIREBASE_PROJECT_ID or GOOGLE_CLIENT_IDS", "at least one is required")
        narrowing = (("email",), ("hd",))
        narrowed = policy is None or any(each.claim in narrowing for each in policy.callers.require)
        for client_id in set(client_ids) & set(GCLOUD_CLIENT_IDS) if not narrowed else ():
            message = "is gcloud's own and lets in everybody who has a Google account, unless"
            unless = "[callers] has require on hd or email"
            self._wrong("GOOGLE_CLIENT_IDS", f"{client_id} {message} {unless}")
        return client_ids

    def _app_check(
        self, mode: str, policy: Policy | None, projects: tuple[str, ...]
    ) -> AppCheckSettings:
        base_url = self._url("APP_CHECK_BASE_URL", APP_CHECK)
        number = self._get("FIREBASE_PROJECT_NUMBER")
        apps = policy.callers.app_check_apps if policy is not None else ()
        if number and not _PROJECT_NUMBER.fullmatch(number):
            self._wrong("FIREBASE_PROJECT_NUMBER", "is not a project number")
        if mode != "off" and not number:
            self._wrong("FIREBASE_PROJECT_NUMBER", "is required with App Check")
        if mode != "off" and len(projects) != 1:
            self._wrong("FIREBASE_PROJECT_ID", "must be one project with App Check")
        return AppCheckSettings(next(iter(projects), ""), number, base_url, apps)

    def _storage(self) -> str:
        storage = self._get("LIMITS_STORAGE") or IN_MEMORY
        if message := storages.mistake(storage):
            self._wrong("LIMITS_STORAGE", message)
        return storage

    def _switch(self) -> SwitchSettings | None:
        base_url = self._url("STORAGE_BASE_URL", STORAGE)
        unreadable = self._get("SWITCH_UNREADABLE") or "keep"
        place = self._get("SWITCH_OBJECT")
        if unreadable not in _UNREADABLE:
            self._wrong("SWITCH_UNREADABLE", "is neither keep nor refuse")
        if place and not _PLACE.fullmatch(place):
            example = "gs://my-bucket/switch.json"
            self._wrong("SWITCH_OBJECT", f"is not an object of Cloud Storage such as {example}")
        return SwitchSettings(place, base_url, unreadable == "keep") if place else None

    def _framework(self, policy: Policy | None) -> None:
        """Check what functions-framework and gunicorn read beside the deployment's variables."""
        if self._get("DEBUG").lower() not in _OFF:
            self._wrong("DEBUG", "starts a server that checks requests less strictly; unset it")
        in_memory = (self._get("LIMITS_STORAGE") or IN_MEMORY).startswith(IN_MEMORY)
        if policy is not None and policy.is_limited and in_memory:
            for name in ("WORKERS", "WEB_CONCURRENCY"):
                if self._get(name) not in ("", "1"):
                    self._wrong(name, "must be 1 while each worker counts limits in its memory")

    def _api_key(self) -> str:
        key = self._get("GEMINI_API_KEY")
        if not key:
            self._wrong("GEMINI_API_KEY", "is required")
        return self._secret("GEMINI_API_KEY", key)

    def _safety_identifier_key(self, policy: Policy | None) -> str | None:
        name = "SAFETY_IDENTIFIER_KEY"
        key, is_asked = self._get(name), policy is not None and policy.callers.safety_identifier
        if is_asked and not key:
            self._wrong(name, "is required with safety_identifier")
        elif key and len(key) < LEAST_KEY:
            self._wrong(name, f"must have at least {LEAST_KEY} characters, such as of openssl rand")
        self._secret(name, key)
        return key if is_asked else None

    def _secret(self, name: str, value: str) -> str:
        if value and not _SECRET.fullmatch(value):
            hint = "a secret made with echo ends in a line feed"
            message = "contains white space or a character that is not ASCII"
            self._wrong(name, f"{message}; {hint}")
        return value

    def _origins(self) -> frozenset[str]:
        origins = tuple(self._list("ALLOWED_ORIGINS"))
        for number, origin in enumerate(origins, 1):
            if message := origin_mistake(origin):
                self._wrong("ALLOWED_ORIGINS", f"origin {number} {message}")
        return frozenset(origins)

    def _url(self, name: str, default: str) -> str:
        url = self._get(name) or default
        if message := url_mistake(url, default):
            self._wrong(name, message)
        return url.rstrip("/")


def origin_mistake(origin: str) -> str | None:
    """Return what is wrong with an allowed origin (RFC 6454), or None. `*` allows any."""
    if origin == "*":
        return None
    if "*" in origin:
        return pattern_mistake(origin)
    if not is_origin(origin):
        form = "https://app.example.com: lower case, no path, no final slash"
        return f"is not written as browsers send it, such as {form}"
    if origin.startswith("http://") and not is_loopback(host(origin)):
        return "must be https://, or loopback"
    return None


def url_mistake(url: str, example: str) -> str | None:
    """Return what is wrong with the URL of a service, or None."""
    if not _URL.fullmatch(url) or host(url) is None:
        return f"is not a plain URL such as {example}"
    if url.startswith("http://") and not is_loopback(host(url)):
        return "must be https://; http:// is for loopback hosts only"
    return None
