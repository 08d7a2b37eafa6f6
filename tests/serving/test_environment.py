"""At start, every mistake in the environment is reported, one per line, and the process ends."""

import json
from pathlib import Path

import pytest
from asking import ENVIRONMENT, profile, wrong_variables
from policies import HEAD, UNLIMITED, compiled
from stack import POLICY, Stack

from emulator.function import NotStarted
from livetoken.compile.body import compile_policy
from livetoken.mistakes import Mistakes
from livetoken.policy import Policy
from livetoken.service import Service
from livetoken.settings import Settings


def with_app_check(mode: str) -> Policy:
    return compiled(f"{HEAD}callers.app_check = '{mode}'\n{profile('default')}")


def test_a_function_without_anything_useful_ends_and_reports_every_mistake(alone: Stack) -> None:
    policy = POLICY.replace("temperature", "temprature").replace("v1alpha", "v1")
    policy += "\nsetting = 1\nresponse_modalities2 = []\n"
    policy += '[callers]\nrequire = []\napp_check = "consume"\n[other]\n'
    with (
        pytest.raises(NotStarted) as ended,
        alone.running(
            policy,
            GEMINI_API_KEY=None,
            FIREBASE_PROJECT_ID=None,
            FIREBASE_PROJECT_NUMBER=None,
            GOOGLE_CLIENT_IDS=None,
            GOOGLE_GEMINI_BASE_URL="http://evil.example",
        ),
    ):
        pass
    lines = [line.removeprefix("livetoken: ") for line in str(ended.value).splitlines()]
    assert [line.partition(": ")[0] for line in lines] == [
        "FIREBASE_PROJECT_ID or GOOGLE_CLIENT_IDS",
        "FIREBASE_PROJECT_NUMBER",
        "FIREBASE_PROJECT_ID",
        "GEMINI_API_KEY",
        "GOOGLE_GEMINI_BASE_URL",
        "api_version",
        "callers.require",
        "profiles.default.config.temprature",
        "profiles.short.config.setting",
        "profiles.short.config.response_modalities2",
        "other",
    ]


def test_a_policy_that_is_not_toml_ends_the_function_with_one_line(alone: Stack) -> None:
    with pytest.raises(NotStarted) as ended, alone.running("a = 1\na = 2"):
        pass
    (line,) = str(ended.value).splitlines()
    assert line.startswith("livetoken: policy: is not TOML: ")


def test_what_nobody_can_pass_is_said_at_start_with_the_file(alone: Stack) -> None:
    rules = "[profiles.default]\nrequire.hd = ['example.com']\nlimit = '1/day'"
    source = POLICY.replace("[profiles.default]", rules)
    with alone.running(source, GOOGLE_CLIENT_IDS=None) as livetoken:
        lines = [line for line in livetoken.function.output().splitlines() if "WARNING" in line]
    said = [json.loads(line)["message"] for line in lines]
    assert [each.partition("policy.toml: ")[2].partition(": ")[0] for each in said] == [
        "profiles.default.require.hd",
        "profiles.default.limit",
    ]


def test_a_good_environment_has_no_mistakes() -> None:
    assert wrong_variables() == []
    assert wrong_variables(FIREBASE_PROJECT_ID=None, GOOGLE_CLIENT_IDS="1-a.apps.example") == []


def test_several_names_are_split_at_commas() -> None:
    settings = Settings.read(
        {**ENVIRONMENT, "FIREBASE_PROJECT_ID": "one-app, two-app,one-app,"}, UNLIMITED
    )
    assert settings.firebase_projects == ("one-app", "two-app")


BAD: dict[str, tuple[str | None, ...]] = {
    "GEMINI_API_KEY": (None, "", "key\n", " key", "k\u00e9y"),
    "FIREBASE_PROJECT_ID": ("Demo Project", "demo/project", ","),
    "GOOGLE_CLIENT_IDS": (
        "a b",
        "32555940559.apps.googleusercontent.com",
        "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur.apps.googleusercontent.com",
    ),
    "FIREBASE_PROJECT_NUMBER": ("demo-project",),
    "LIMITS_STORAGE": ("redis://127.0.0.1",),
    "SWITCH_OBJECT": (
        *("switches/switch.json", "gs://switches", "gs://switches/", "gs:///switch.json"),
        *("gs://Switches/switch.json", "gs://s/switch.json", "gs://switches/a?b", "gs://a_b/ c"),
    ),
    "SWITCH_UNREADABLE": ("open", "Keep"),
    "ALLOWED_ORIGINS": (
        *("app.example.com", "https://app.example.com/", "https://App.example.com", "null"),
        *("https://app.example.com:443", "https://*.example.com", "http://app.example.com"),
        *("https://app*.com", "https://app.*.com", "https://a*b*.web.app", "http://a*.web.app"),
        *("http://[1]", "https://[::::]", "https://app.example.com:99999", "https://256.1.1.1"),
    ),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values]
)
def test_a_bad_value_is_reported(name: str, value: str | None) -> None:
    assert wrong_variables(**{name: value}) == [name]


GOOD_URLS = (
    *("https://gemini.example", "https://gemini.example/", "https://gemini.example:8443/proxy"),
    *("http://localhost:1234", "http://127.0.0.1:1234", "http://127.9.9.9", "http://[::1]:1234"),
)
BAD_URLS = (
    *("http://gemini.example", "http://localhost.example", "http://127.0.0.1.example"),
    *("http://127.0.0.1@evil.example", "https://user:password@gemini.example", "http://0.0.0.0"),
    *("http://10.0.0.1", "gemini.example", "ftp://gemini.example", "https://", "http://127.1"),
    *("https://gemini.example:99999", "https://256.256.256.256", "https://[1]", "https://xn--"),
    *("https://1.2.3.4.5", "https://gemini.example?key=x", "https://gemini.example#x"),
    *("https://gemini.example\n", "https://gemini\\.example", " https://gemini.example"),
)


@pytest.mark.parametrize("url", [*GOOD_URLS, *BAD_URLS])
@pytest.mark.parametrize(
    "name",
    [
        *("GOOGLE_GEMINI_BASE_URL", "FIREBASE_KEYS_URL", "GOOGLE_KEYS_URL", "APP_CHECK_BASE_URL"),
        "STORAGE_BASE_URL",
        "IDENTITY_TOOLKIT_BASE_URL",
    ],
)
def test_a_url_is_https_or_loopback(name: str, url: str) -> None:
    rules = with_app_check("required")
    assert wrong_variables(rules, **{name: url}) == ([] if url in GOOD_URLS else [name])


@pytest.mark.parametrize("name", ["FIREBASE_PROJECT_ID", "GOOGLE_CLIENT_IDS", "ALLOWED_ORIGINS"])
def test_a_key_in_the_wrong_variable_is_not_shown(name: str) -> None:
    with pytest.raises(Mistakes) as found:
        Settings.read({**ENVIRONMENT, name: "good-name, AIzaSy/secret key"}, UNLIMITED)
    assert "secret" not in str(found.value)


def test_missing_certificate_authorities_give_503_and_no_traceback(alone: Stack) -> None:
    with alone.running(SSL_CERT_FILE="/nope", SSL_CERT_DIR="/nope") as livetoken:
        assert livetoken.ask().status == 503
        assert "Traceback" not in livetoken.function.output()


@pytest.mark.parametrize("value", ["1", "true", "YES", "on", "2"])
def test_the_switch_to_another_server_ends_the_function(value: str) -> None:
    assert wrong_variables(DEBUG=value) == ["DEBUG"]


@pytest.mark.parametrize("value", ["", "0", "false", "No", "off"])
def test_a_switch_that_is_off_changes_nothing(value: str) -> None:
    assert wrong_variables(DEBUG=value) == []


@pytest.mark.parametrize("name", ["WORKERS", "WEB_CONCURRENCY"])
def test_limits_in_memory_need_one_worker(name: str) -> None:
    limited = compile_policy((HEAD + profile("default", 'limit = "1/day"')).encode())
    redis = "async+redis://10.0.0.3:6379"
    assert wrong_variables(limited, **{name: "2"}) == [name]
    assert wrong_variables(limited, **{name: "2", "LIMITS_STORAGE": "async+memory://"}) == [name]
    assert wrong_variables(limited, **{name: "1"}) == []
    assert wrong_variables(limited, **{name: "2", "LIMITS_STORAGE": redis}) == []
    assert wrong_variables(UNLIMITED, **{name: "2"}) == []


def test_the_key_is_not_in_what_a_settings_object_shows() -> None:
    assert "the-key" not in repr(
        Settings.read({**ENVIRONMENT, "GEMINI_API_KEY": "the-key"}, UNLIMITED)
    )


# ------------------------------------------------------------------ App Check


@pytest.mark.parametrize("mode", ["required", "consume"])
def test_app_check_needs_one_project_and_its_number(mode: str) -> None:
    rules = with_app_check(mode)
    assert wrong_variables(rules) == []
    assert wrong_variables(rules, GOOGLE_CLIENT_IDS="1-a.apps.example") == []
    number, project = "FIREBASE_PROJECT_NUMBER", "FIREBASE_PROJECT_ID"
    assert wrong_variables(rules, FIREBASE_PROJECT_NUMBER=None) == [number]
    assert wrong_variables(rules, FIREBASE_PROJECT_NUMBER="") == [number]
    assert wrong_variables(rules, FIREBASE_PROJECT_ID="one-app,two-app") == [project]
    google = {"FIREBASE_PROJECT_ID": None, "GOOGLE_CLIENT_IDS": "1-a.apps.example"}
    assert wrong_variables(rules, **google) == [project]
    several = {"FIREBASE_PROJECT_ID": "one-app,two-app", "FIREBASE_PROJECT_NUMBER": None}
    named = wrong_variables(rules, **several, GEMINI_API_KEY=None)
    assert named == [number, project, "GEMINI_API_KEY"]


def test_without_app_check_neither_is_needed() -> None:
    several = {"FIREBASE_PROJECT_ID": "one-app,two-app", "FIREBASE_PROJECT_NUMBER": None}
    assert wrong_variables(with_app_check("off"), **several) == []
    nowhere = profile("default", "app_check = 'off'")
    assert wrong_variables(compiled(HEAD + REQUIRED + nowhere), **several) == []


REQUIRED = "callers.app_check = 'required'\n"
OF_ONE = profile("default") + profile("once", "app_check = 'consume'")
OF_DEFAULTS = "defaults.app_check = 'required'\n" + profile("default")


@pytest.mark.parametrize("rules", [OF_ONE, OF_DEFAULTS, REQUIRED + OF_ONE])
@pytest.mark.parametrize("typo", ["", "[typo]\n"])
def test_app_check_of_one_profile_needs_them_too(rules: str, typo: str, tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(HEAD + rules + typo)
    variables = {**ENVIRONMENT, "POLICY_FILE": str(file), "FIREBASE_PROJECT_NUMBER": ""}
    with pytest.raises(Mistakes) as found:
        Service.load(variables)
    wrong = [each.path for each in found.value.mistakes]
    assert wrong == ["FIREBASE_PROJECT_NUMBER", *(["typo"] if typo else [])]


@pytest.mark.parametrize("mode", ["off", "required"])
@pytest.mark.parametrize(
    "number", ["demo-project", "0123", "-1", "1.5", "12 34", " 12", "\u0661\u0662", "1" * 21]
)
def test_a_project_number_is_a_number(mode: str, number: str) -> None:
    wrong = wrong_variables(with_app_check(mode), FIREBASE_PROJECT_NUMBER=number)
    assert wrong == ["FIREBASE_PROJECT_NUMBER"]


# ------------------------------------------------------------------ limits

LIMITED = (HEAD + profile("default", 'limit = "1/hour"')).encode()


@pytest.mark.parametrize(
    "uri",
    [
        "async+memory://",
        "async+redis://127.0.0.1:6379",
        "async+redis://:secret@redis.example:6380/2",
        "async+redis://redis.example",
        "async+rediss://default:secret%2F%3A%23@redis.example:6380",
        "async+rediss://:secret@redis.example/0?ssl_ca_certs=/etc/ssl/ca.pem",
        "async+rediss://:secret@10.0.0.3:6378?ssl_ca_certs=/ca.pem&ssl_check_hostname=false",
        "async+firestore://demo-project/(default)",
        "async+firestore://example.com:demo-project/livetoken-2",
    ],
)
def test_limits_are_counted_in_these_storages(uri: str) -> None:
    settings = Settings.read({**ENVIRONMENT, "LIMITS_STORAGE": uri}, compile_policy(LIMITED))
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    "uri",
    [
        *("async+redis://", "async+rediss://redis.example?ssl_cert_reqs=none"),
        *("async+redis://:sec/ret@redis.example", "async+redis://:sec#ret@redis.example"),
        *("async+rediss://redis.example/0?ssl_ca_certs=a&ssl_check_hostname=no",),
        *("async+rediss://redis.example/0?ssl_check_hostname=false",),
        *("async+rediss://redis.example/0?ssl_ca_certs=&ssl_check_hostname=false",),
        *("async+redis://redis.example/0?ssl_ca_certs=a", "async+redis://redis.example/x"),
        *("async+memory://secret", "async+rediss://redis.example/0#secret"),
        *("async+redis://:secret@/0", "async+redis://redis.example:6379?stream_timeout=60"),
        *("memory://", "redis://127.0.0.1", "async+memcached://127.0.0.1", "secret"),
        *("async+mongodb://127.0.0.1", "async+redis://127.0.0.1:port"),
        "async+redis://127.0.0.1:99999",
        *("async+firestore://", "async+firestore://demo-project", "firestore://demo-project/main"),
        *("async+firestore://demo-project/", "async+firestore://demo-project/default/secret"),
        *("async+firestore://Demo/(default)", "async+firestore://demo-project/(other)"),
        *("async+firestore://demo-project/a/b", "async+firestore://demo-project/main?a=secret"),
        *("async+firestore://user:secret@demo-project/main", "async+firestore://demo-project/db"),
    ],
)
def test_any_other_storage_of_limits_is_reported_without_its_password(uri: str) -> None:
    with pytest.raises(Mistakes) as found:
        Settings.read({**ENVIRONMENT, "LIMITS_STORAGE": uri}, compile_policy(LIMITED))
    (line,) = map(str, found.value.mistakes)
    assert line.startswith("LIMITS_STORAGE: ")
    assert "secret" not in line
