"""The environment is checked whole at start: every problem, a line each, and the process ends."""

import pytest
from policies import UNLIMITED
from stack import POLICY, Stack

from emulator.function import NotStarted
from livetoken.mistakes import Mistakes
from livetoken.policy import Policy
from livetoken.settings import Settings

GOOD = {"GEMINI_API_KEY": "key", "FIREBASE_PROJECT_ID": "demo-project"}


def problems(policy: Policy = UNLIMITED, /, **changes: str | None) -> list[str]:
    """The names of the variables that are reported for an environment."""
    environment = {k: v for k, v in {**GOOD, **changes}.items() if v is not None}
    try:
        Settings.read(environment, policy)
    except Mistakes as found:
        return [mistake.path for mistake in found.mistakes]
    return []


def test_a_function_that_is_told_nothing_useful_ends_and_says_everything(alone: Stack) -> None:
    policy = POLICY.replace("temperature", "temprature").replace("v1alpha", "v1")
    policy += "\nsetting = 1\nresponse_modalities2 = []\n[callers]\nrequire = []\n[other]\n"
    with (
        pytest.raises(NotStarted) as ended,
        alone.running(
            policy,
            GEMINI_API_KEY=None,
            FIREBASE_PROJECT_ID=None,
            GOOGLE_CLIENT_IDS=None,
            GOOGLE_GEMINI_BASE_URL="http://evil.example",
        ),
    ):
        pass
    lines = [line.removeprefix("livetoken: ") for line in str(ended.value).splitlines()]
    assert [line.partition(": ")[0] for line in lines] == [
        "FIREBASE_PROJECT_ID or GOOGLE_CLIENT_IDS",
        "GEMINI_API_KEY",
        "GOOGLE_GEMINI_BASE_URL",
        "other",
        "api_version",
        "callers.require",
        "profiles.default.config.temprature",
        "profiles.short.config.setting",
        "profiles.short.config.response_modalities2",
    ]


@pytest.mark.parametrize("policy", ["not toml", "a = ", "a = 1\na = 2"])
def test_a_policy_that_is_no_toml_is_one_line(alone: Stack, policy: str) -> None:
    with pytest.raises(NotStarted) as ended, alone.running(policy):
        pass
    (line,) = str(ended.value).splitlines()
    assert line.startswith("livetoken: policy: is not TOML: ")


def test_a_good_environment_has_no_problems() -> None:
    assert problems() == []
    assert problems(FIREBASE_PROJECT_ID=None, GOOGLE_CLIENT_IDS="1-a.apps.example") == []


def test_several_names_are_taken_apart() -> None:
    settings = Settings.read(
        {**GOOD, "FIREBASE_PROJECT_ID": "one-app, two-app,one-app,"}, UNLIMITED
    )
    assert settings.firebase_projects == ("one-app", "two-app")


@pytest.mark.parametrize(
    "changes",
    [
        {"GEMINI_API_KEY": None},
        {"GEMINI_API_KEY": ""},
        {"GEMINI_API_KEY": "key\n"},
        {"GEMINI_API_KEY": " key"},
        {"GEMINI_API_KEY": "k\u00e9y"},
        {"FIREBASE_PROJECT_ID": "Demo Project"},
        {"FIREBASE_PROJECT_ID": "demo/project"},
        {"FIREBASE_PROJECT_ID": ","},
        {"GOOGLE_CLIENT_IDS": "a b"},
        {"GOOGLE_CLIENT_IDS": "32555940559.apps.googleusercontent.com"},
        {
            "GOOGLE_CLIENT_IDS": "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur"
            ".apps.googleusercontent.com"
        },
        {"FIREBASE_PROJECT_NUMBER": "demo-project"},
        {"LIMITS_STORAGE": "redis://127.0.0.1"},
        {"ALLOWED_ORIGINS": "app.example.com"},
        {"ALLOWED_ORIGINS": "https://app.example.com/"},
        {"ALLOWED_ORIGINS": "https://App.example.com"},
        {"ALLOWED_ORIGINS": "https://app.example.com:443"},
        {"ALLOWED_ORIGINS": "https://*.example.com"},
        {"ALLOWED_ORIGINS": "http://app.example.com"},
        {"ALLOWED_ORIGINS": "null"},
        {"ALLOWED_ORIGINS": "http://[1]"},
        {"ALLOWED_ORIGINS": "https://[::::]"},
        {"ALLOWED_ORIGINS": "https://app.example.com:99999"},
        {"ALLOWED_ORIGINS": "https://256.1.1.1"},
    ],
)
def test_a_bad_value_is_a_problem(changes: dict[str, str | None]) -> None:
    (name,) = changes
    assert problems(**changes) == [name]


@pytest.mark.parametrize("name", ["GOOGLE_GEMINI_BASE_URL", "FIREBASE_KEYS_URL", "GOOGLE_KEYS_URL"])
@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://gemini.example", True),
        ("https://gemini.example/", True),
        ("https://gemini.example:8443/proxy", True),
        ("http://localhost:1234", True),
        ("http://127.0.0.1:1234", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:1234", True),
        ("http://gemini.example", False),
        ("http://localhost.example", False),
        ("http://127.0.0.1.example", False),
        ("http://127.0.0.1@evil.example", False),
        ("https://user:password@gemini.example", False),
        ("http://0.0.0.0", False),
        ("http://10.0.0.1", False),
        ("gemini.example", False),
        ("ftp://gemini.example", False),
        ("https://", False),
        ("https://gemini.example:99999", False),
        ("https://256.256.256.256", False),
        ("http://127.1", False),
        ("https://[1]", False),
        ("https://xn--", False),
        ("https://1.2.3.4.5", False),
        ("https://gemini.example?key=x", False),
        ("https://gemini.example#x", False),
        ("https://gemini.example\n", False),
        ("https://gemini\\.example", False),
        (" https://gemini.example", False),
    ],
)
def test_a_url_is_https_or_loopback(name: str, url: str, good: bool) -> None:
    assert problems(**{name: url}) == ([] if good else [name])


@pytest.mark.parametrize("name", ["FIREBASE_PROJECT_ID", "GOOGLE_CLIENT_IDS", "ALLOWED_ORIGINS"])
def test_a_key_in_the_wrong_variable_is_not_shown(name: str) -> None:
    with pytest.raises(Mistakes) as found:
        Settings.read({**GOOD, name: "good-name, AIzaSy/secret key"}, UNLIMITED)
    assert "secret" not in str(found.value)


def test_authorities_that_are_not_there_end_in_no_traceback(alone: Stack) -> None:
    with alone.running(SSL_CERT_FILE="/nope", SSL_CERT_DIR="/nope") as livetoken:
        assert livetoken.ask().status == 503
        assert "Traceback" not in livetoken.function.output()


def test_the_key_is_not_in_what_a_settings_object_shows() -> None:
    assert "the-key" not in repr(Settings.read({**GOOD, "GEMINI_API_KEY": "the-key"}, UNLIMITED))


def test_variables_of_the_sdk_change_nothing(alone: Stack) -> None:
    variables = {
        "GOOGLE_API_KEY": "other",
        "GOOGLE_GENAI_USE_VERTEXAI": "true",
        "GOOGLE_GENAI_USE_ENTERPRISE": "true",
        "GOOGLE_GENAI_API_VERSION": "v1",
        "GOOGLE_GENAI_CLIENT_MODE": "replay",
        "GOOGLE_CLOUD_LOCATION": "us-central1",
    }
    with alone.running() as plain:
        assert plain.ask().status == 200
    with alone.running(**variables) as changed:
        assert changed.ask().status == 200
    first, second = alone.gemini.minted()
    assert first.version == second.version
    assert first.headers["x-goog-api-key"] == second.headers["x-goog-api-key"]
    assert first.body["bidiGenerateContentSetup"] == second.body["bidiGenerateContentSetup"]
