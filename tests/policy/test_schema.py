"""policy.schema.json: what an editor says of a policy's settings is what reading them says.

What it says of a `config` has tests of its own, in test_typeschema.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from stack import SHIPPED

from livetoken import policy, schema
from livetoken.__main__ import main

ROOT = Path(__file__).parents[2]
SCHEMA = schema.schema()
HEAD = 'api_version = "v1alpha"\n'
PROFILE = '[profiles.default]\nmodel = "gemini-3.8-live"\n'
CONFIG = '[profiles.default.config]\nresponse_modalities = ["AUDIO"]\n'


def fits(source: str) -> bool:
    """Whether the schema takes a policy."""
    return Draft7Validator(SCHEMA).is_valid(tomllib.loads(source))


def reads(source: str) -> bool:
    """Whether reading a policy finds no mistake."""
    return not policy.read(source.encode()).problems


def values(keyword: str, inside: Any = SCHEMA) -> Iterator[Any]:
    """Everything that stands under a keyword anywhere in the schema."""
    inner = inside.values() if isinstance(inside, dict) else inside
    if isinstance(inside, dict) and keyword in inside:
        yield inside[keyword]
    for each in inner:
        if isinstance(each, dict | list):
            yield from values(keyword, each)


def test_the_committed_schema_is_current() -> None:
    assert (ROOT / "docs/policy.schema.json").read_text(encoding="utf-8") == schema.text()


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == schema.text()


def test_it_is_a_schema_and_all_that_it_refers_to_is_in_it() -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    referred = {reference.removeprefix("#/definitions/") for reference in values("$ref")}
    assert referred == set(SCHEMA["definitions"])


def test_the_shipped_policy_names_its_schema_and_fits() -> None:
    source = SHIPPED.read_text(encoding="utf-8")
    name = source.partition("\n")[0].removeprefix("#:schema ")
    assert (ROOT / name).samefile(ROOT / "docs/policy.schema.json")
    assert fits(source)


def test_an_editor_can_say_what_each_setting_means() -> None:
    profile = SCHEMA["properties"]["profiles"]["additionalProperties"]["properties"]
    for table in (SCHEMA["properties"], SCHEMA["properties"]["callers"]["properties"], profile):
        for about in table.values():
            (described,) = [
                each for each in (about, *about.get("allOf", ())) if "description" in each
            ]
            assert described["description"].endswith(".")


def test_an_editor_can_read_every_pattern() -> None:
    """ECMA 262 has no \\A, no \\Z, and after `(?` nothing but a group and what looks around."""
    patterns = [each for each in values("pattern") if isinstance(each, str)]
    assert len(patterns) > 5
    for pattern in patterns:
        assert not re.search(r"\\[AZ]|\(\?(?!:|=|!|<=|<!)|[+*?}]\+", pattern)
        assert (pattern[0], pattern[-1]) == ("^", "$")


@pytest.mark.parametrize(
    ("source", "sound"),
    [
        (HEAD + PROFILE + CONFIG, True),
        (PROFILE + CONFIG, False),
        (HEAD, False),
        (HEAD + "[profiles]", False),
        ("profiles = 1\n" + HEAD, False),
        ("profiles.default = 1\n" + HEAD, False),
        ('api_version = "v1"\n' + PROFILE + CONFIG, False),
        ("api_version = 1\n" + PROFILE + CONFIG, False),
        (HEAD + "[caller]\n" + PROFILE + CONFIG, False),
        (HEAD + "callers = []\n" + PROFILE + CONFIG, False),
        (HEAD + "[profiles.default]\n" + CONFIG, False),
        (HEAD + "[profiles.default]\nconfig = 1\nmodel = 'm'", False),
        (HEAD + "[profiles.default]\nmodel = ''\n" + CONFIG, False),
        (HEAD + "[profiles.default]\nmodel = 'a b'\n" + CONFIG, False),
        (HEAD + "[profiles.default]\nmodel = 'tunedModels/x'\n" + CONFIG, False),
        (HEAD + "[profiles.default]\nmodel = 'models/gemini-9'\n" + CONFIG, True),
        (HEAD + (PROFILE + CONFIG).replace("default", "A-b_9"), True),
        (HEAD + (PROFILE + CONFIG).replace("default", "'a b'"), False),
        (HEAD + (PROFILE + CONFIG).replace("default", "a" * 65), False),
    ],
)
def test_a_policy_fits_as_it_reads(source: str, sound: bool) -> None:
    assert (fits(source), reads(source)) == (sound, sound)


@pytest.mark.parametrize(
    ("setting", "sound"),
    [
        ("allow_anonymous = true", True),
        ("allow_anonymous = 1", False),
        ("alow_anonymous = true", False),
        ("app_check = 'off'", True),
        ("app_check = 'required'", True),
        ("app_check = 'consume'", True),
        ("app_check = true", False),
        ("app_check = 'on'", False),
        ("max_auth_age = '24h'", True),
        ("max_auth_age = 24", False),
        ("max_auth_age = '24'", False),
        ("max_auth_age = ''", False),
        ("require = {}", True),
        ("require = { email_verified = [true] }", True),
        ("require = { a = ['x', 1, 1.5, false] }", True),
        ("require = { 'firebase.tenant' = ['t1'], firebase.sign_in_provider = ['x'] }", True),
        ("require = []", False),
        ("require = { plan = [] }", False),
        ("require = { plan = 'pro' }", False),
        ("require = { plan = {} }", False),
        ("require = { plan = [['pro']] }", False),
        ("require = { plan = [2026-11-24] }", False),
    ],
)
def test_a_rule_about_callers_fits_as_it_reads(setting: str, sound: bool) -> None:
    source = f"{HEAD}[callers]\n{setting}\n{PROFILE}{CONFIG}"
    assert (fits(source), reads(source)) == (sound, sound)


@pytest.mark.parametrize(
    ("setting", "sound"),
    [
        ("expires_in = '1h30m'", True),
        ("expires_in = '19h59m59s'", True),
        ("expires_in = '30 m'", False),
        ("expires_in = '-5m'", False),
        ("expires_in = '1.5h'", False),
        ("expires_in = '5m1h'", False),
        ("expires_in = ''", False),
        ("expires_in = 30", False),
        ("start_within = '30s'", True),
        ("expires_in = '0s'", False),
        ("start_within = '30'", False),
        ("limit = '30/hour'", True),
        ("limit = '30 per hour'", True),
        ("limit = '5/10 minutes; 50/day'", True),
        ("limit = '1/second;2/month;3/2years'", True),
        ("limit = ''", False),
        ("limit = 30", False),
        ("limit = '0/hour'", False),
        ("limit = '-1/hour'", False),
        ("limit = '1.5/hour'", False),
        ("limit = '30/0 hours'", False),
        ("limit = '30/fortnight'", False),
        ("limit = '30/hour,50/day'", False),
        ("limit = '30/hour;'", False),
        ("require = { plan = ['pro'] }", True),
        ("require = { plan = [] }", False),
        ("client_may_set = []", True),
        ("client_may_set = ['tools', 'system_instruction']", True),
        ("client_may_set = 'tools'", False),
        ("client_may_set = [1]", False),
        ("client_may_set = ['tools', 'tools']", False),
        ("client_may_set = ['model']", False),
        ("client_may_set = ['temperature']", False),
        ("client_may_set = ['systemInstruction']", False),
        ("claims = { level = { max_length = 20 } }", True),
        ("claims = { level = { max_length = 20, default = 'B1' } }", True),
        ("claims = { 'address.country' = { max_length = 1000 } }", True),
        ("claims = []", False),
        ("claims = { level = 20 }", False),
        ("claims = { level = {} }", False),
        ("claims = { level = { max_length = 0 } }", False),
        ("claims = { level = { max_length = 1001 } }", False),
        ("claims = { level = { max_length = true } }", False),
        ("claims = { level = { max_length = 20, length = 1 } }", False),
        ("claims = { level = { max_length = 9, default = 1 } }", False),
        ("claims = { '.level' = { max_length = 9 } }", False),
        ("claims = { 'a}' = { max_length = 9 } }", False),
        ("limits = '30/hour'", False),
    ],
)
def test_a_rule_of_a_profile_fits_as_it_reads(setting: str, sound: bool) -> None:
    source = f"{HEAD}{PROFILE}{setting}\n{CONFIG}"
    assert (fits(source), reads(source)) == (sound, sound)


@pytest.mark.parametrize(
    "setting",
    [
        "expires_in = '20h'",
        "expires_in = '5m'\nstart_within = '6m'",
        "limit = '30/hour; 20/60 minutes'",
        "require = { 'firebase..tenant' = ['t1'] }",
        "require = { firebase = { tenant = [] } }",
        "require = { plan = [nan] }",
        "client_may_set = ['tools']\nconfig.tools = [{ google_search = {} }]",
        "claims = { level = { max_length = 1, default = 'B1' } }",
        'claims = { level = { max_length = 9, default = "a\\nb" } }',
        "config.system_instruction = '${claim.level}'",
    ],
)
def test_what_only_reading_tells_is_refused_though_it_fits(setting: str) -> None:
    source = f"{HEAD}{PROFILE}config.response_modalities = ['AUDIO']\n{setting}"
    assert (fits(source), reads(source)) == (True, False)
