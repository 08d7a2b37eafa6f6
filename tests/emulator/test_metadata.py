"""The metadata server gives google-auth a service account and access tokens."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from services import Services, running
from wire import HttpAnswer, send

from emulator.metadata import environment

services = pytest.fixture(running, name="services")
FIREBASE = "https://www.googleapis.com/auth/firebase"
TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
GOOGLE_AUTH = """
import json, sys
import google.auth
from google.auth.transport.requests import Request
credentials, project = google.auth.default(scopes=sys.argv[1:])
try:
    credentials.refresh(Request())
    print(json.dumps([project, credentials.service_account_email, credentials.token,
                      credentials.expiry.isoformat()]))
except google.auth.exceptions.RefreshError as error:
    print(json.dumps(str(error)))
"""


def google_auth(services: Services, folder: Path) -> Any:
    """Project, account, token and expiry that a new google-auth gets, or its error's text."""
    variables = {**environment(services.metadata_at.url), "CLOUDSDK_CONFIG": str(folder)}
    command = [sys.executable, "-c", GOOGLE_AUTH, FIREBASE]
    printed = subprocess.run(command, env=variables, capture_output=True, check=True).stdout
    return json.loads(printed)


def get(
    services: Services, path: str, flavor: str | None = "Google", timeout: float = 5
) -> HttpAnswer:
    headers = {} if flavor is None else {"Metadata-Flavor": flavor}
    return send(services.metadata_at.url, path, headers=headers, timeout=timeout)


def test_google_auth_gets_a_token_that_app_check_accepts_until_it_is_revoked(
    services: Services, tmp_path: Path
) -> None:
    services.metadata.life = 600
    project, account, token, end = google_auth(services, tmp_path)
    assert project == "demo-livetoken"
    assert account == "livetoken@demo-livetoken.iam.gserviceaccount.com"
    assert services.metadata.access_tokens == {token}
    left = datetime.fromisoformat(end).replace(tzinfo=UTC) - datetime.now(UTC)
    assert 590 < left.total_seconds() <= 600
    assert (services.metadata.fetches, list(services.metadata.scopes)) == (1, [FIREBASE])
    bearer = f"Bearer {token}"
    assert services.check(services.app_check.token(), authorization=bearer).json == {}
    services.metadata.access_tokens.remove(token)
    assert services.check(services.app_check.token(), authorization=bearer).status == 401


def test_google_auth_fails_if_tokens_fail(services: Services, tmp_path: Path) -> None:
    services.metadata.fault = 403
    assert "Status: 403" in google_auth(services, tmp_path)
    assert (services.metadata.fetches, services.metadata.access_tokens) == (1, set())


def test_access_tokens_can_fail_without_the_rest(services: Services) -> None:
    services.metadata.fault = 503
    assert get(services, TOKEN_PATH).status == 503
    services.metadata.fault = "hang"
    with pytest.raises(TimeoutError):
        get(services, TOKEN_PATH, timeout=0.1)
    assert get(services, "/computeMetadata/v1/project/project-id").status == 200
    services.metadata.fault = "unheard-of"
    assert get(services, TOKEN_PATH).status == 501
    services.metadata.fault = None
    assert get(services, TOKEN_PATH).status == 200
    assert services.metadata.fetches == 4


def test_each_access_token_is_new_and_scopes_are_separated_by_commas(
    services: Services,
) -> None:
    first, second = (get(services, f"{TOKEN_PATH}?scopes=a,b").json for _ in range(2))
    assert list(services.metadata.scopes) == ["a", "b"]
    assert first.keys() == {"access_token", "expires_in", "token_type"}
    assert (first["expires_in"], first["token_type"]) == (3600, "Bearer")
    given = {first["access_token"], second["access_token"]}
    assert len(given) == 2 and services.metadata.access_tokens == given
    get(services, TOKEN_PATH)
    assert list(services.metadata.scopes) == ["https://www.googleapis.com/auth/cloud-platform"]


@pytest.mark.parametrize("flavor", [None, "google", "Other"])
def test_the_flavor_header_is_required(services: Services, flavor: str | None) -> None:
    assert get(services, TOKEN_PATH, flavor).status == 403
    assert (services.metadata.fetches, services.metadata.access_tokens) == (0, set())
    assert get(services, "/", flavor).status == 200


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/", 200, b"computeMetadata/\n"),
        ("/computeMetadata/v1/project/project-id", 200, b"demo-livetoken"),
        ("/computeMetadata/v1/project/numeric-project-id", 200, b"123456789012"),
        ("/computeMetadata/v1/universe/universe-domain", 200, b"googleapis.com"),
        ("/computeMetadata/v1/instance/service-accounts/other/token", 404, b"not found\n"),
        ("/project/project-id", 404, b"not found\n"),
    ],
)
def test_every_answer_has_the_flavor_header(
    services: Services, path: str, status: int, body: bytes
) -> None:
    answer = get(services, path)
    assert (answer.status, answer.body) == (status, body)
    assert answer.headers["Metadata-Flavor"] == "Google"
    assert answer.headers.get_content_type() == "text/plain"


@pytest.mark.parametrize("account", ["default", "livetoken@demo-livetoken.iam.gserviceaccount.com"])
def test_the_account_has_two_names(services: Services, account: str) -> None:
    path = f"/computeMetadata/v1/instance/service-accounts/{account}"
    assert get(services, f"{path}/?recursive=true").json == {
        "aliases": ["default"],
        "email": "livetoken@demo-livetoken.iam.gserviceaccount.com",
        "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
    }
    assert get(services, f"{path}/").body == b"aliases\nemail\nscopes\ntoken\n"
    assert get(services, f"{path}/token").status == 200
