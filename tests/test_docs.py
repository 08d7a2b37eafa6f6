"""docs/policy.md keeps its promises: tables are the code's, worked policies do what it says."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from livetoken import advice, policy
from livetoken.__main__ import main
from livetoken.advice import Code
from livetoken.callers import Caller
from livetoken.compiler import compile_policy
from livetoken.constraint import Compiled
from livetoken.policy import Policy
from livetoken.problems import Problems
from livetoken.refusals import Detail, Reason, Refused
from livetoken.rules import Limit
from livetoken.settings import GCLOUD_CLIENT_IDS, Settings
from livetoken.setup import FIELDS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
SCHEMA = json.loads((ROOT / "docs/policy.schema.json").read_text(encoding="utf-8"))
LEFT_OUT = "  …"
HOUR = 3600
DAY = 24 * HOUR

ENVIRONMENT = {
    "GEMINI_API_KEY": "a-key",
    "FIREBASE_PROJECT_ID": "demo-project",
    "FIREBASE_PROJECT_NUMBER": "123456789012",
    "GOOGLE_CLIENT_IDS": "1234567890-web.apps.googleusercontent.com",
    "ALLOWED_ORIGINS": "https://app.example.com",
    "LIMITS_STORAGE": "async+redis://10.0.0.3:6379",
}
UNCHECKED = {"ALLOWED_ORIGINS", "LIMITS_STORAGE"}
"""A function starts without these; it then serves no browser, and counts in memory."""

HEAD = 'api_version = "v1alpha"\n'
PROFILE = '[profiles.NAME]\nmodel = "gemini-3.8-live"\n'
CONFIG = '[profiles.NAME.config]\nresponse_modalities = ["AUDIO"]\n'


def section(title: str) -> str:
    """The text under a title, down to the next title of its level."""
    (level,) = re.findall(rf"^(#+) {re.escape(title)}$", PAGE, re.MULTILINE)
    after = PAGE.partition(f"\n{level} {title}\n")[2]
    return re.split(rf"^#{{1,{len(level)}}} ", after, flags=re.MULTILINE)[0]


def table(text: str) -> list[list[str]]:
    """The cells of a table's rows."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def code(text: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


def problems(source: str) -> list[str]:
    """Where a policy's mistakes are said to be."""
    try:
        compile_policy(policy.read(source.encode()))
    except Problems as found:
        return [line.partition(": ")[0] for line in found.lines]
    return []


def warnings(source: str) -> list[tuple[str, str]]:
    """The code and the path of each warning about a sound policy."""
    assert problems(source) == []
    return [(each.code, each.path) for each in advice.of(policy.read(source.encode()))]


# ------------------------------------------------------------------ the table of settings

SETTINGS = {row[0].strip("`"): row[1:] for row in table(section("Every setting"))}


def settings(schema: Mapping[str, Any], names: tuple[str, ...], path: str = "") -> Iterator[str]:
    """The paths of all settings, by the schema that is written from the dataclasses."""
    for name, inner in schema.get("properties", {}).items():
        yield path + name
        yield from settings(inner, names, f"{path}{name}.")
    tables = schema.get("additionalProperties")
    if isinstance(tables, dict) and "properties" in tables:
        yield from settings(tables, names[1:], f"{path}{names[0]}.")


def with_setting(path: str, value: str) -> str:
    """A policy with one setting more; where the path is of a config, a line of it."""
    *above, name = path.split(".")
    match above:
        case []:
            lines = {"api_version": HEAD, "callers": "", "profiles": PROFILE + CONFIG}
            return "".join([f"{name} = {value}\n", *(lines[key] for key in lines if key != name)])
        case ["callers"]:
            return f"{HEAD}[callers]\n{name} = {value}\n{PROFILE}{CONFIG}"
        case ["profiles", "NAME"]:
            model = PROFILE if name != "model" else "[profiles.NAME]\n"
            if name == "config":
                return HEAD + PROFILE + CONFIG + value + "\n"
            return f"{HEAD}{model}{name} = {value}\n{CONFIG}"
        case _:
            length = "" if name == "max_length" else "max_length = 20, "
            claim = f"claims = {{ CLAIM = {{ {length}{name} = {value} }} }}\n"
            return f"{HEAD}{PROFILE}{claim}{CONFIG}"


def test_the_table_names_every_setting_and_no_other() -> None:
    assert list(SETTINGS) == list(settings(policy.SETTINGS.schema(), ("NAME", "CLAIM")))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (path, value)
        for path, row in SETTINGS.items()
        for value in code(row[1])[:1]
        if value != "response_modalities"
    ],
)
def test_a_default_is_what_leaving_the_setting_out_means(path: str, value: str) -> None:
    left_out = policy.read((HEAD + PROFILE + CONFIG).encode())
    assert policy.read(with_setting(path, value).encode()) == left_out


def test_what_the_table_calls_required_is_and_nothing_else() -> None:
    required = [path for path, row in SETTINGS.items() if row[1] == "required"]
    assert required == [
        "api_version",
        "profiles",
        "profiles.NAME.model",
        "profiles.NAME.claims.CLAIM.max_length",
    ]
    claims = "claims = { CLAIM = {} }\n"
    source = f"[profiles.NAME]\n{claims}{CONFIG}"
    assert problems(source) == [
        "api_version",
        "profiles.NAME.model",
        "profiles.NAME.claims.CLAIM.max_length",
    ]
    assert problems("") == ["api_version", "profiles"]
    assert code(SETTINGS["profiles.NAME.config"][1]) == ["response_modalities"]
    assert problems(HEAD + PROFILE) == ["profiles.NAME.config.response_modalities"]


def test_what_is_left_out_asks_for_nothing() -> None:
    short = policy.read((HEAD + PROFILE + 'expires_in = "30s"\n' + CONFIG).encode())
    profile = short.profiles["NAME"]
    assert profile.start_within == profile.expires_in
    assert (profile.limit, profile.claims, short.callers.max_auth_age) == ((), {}, None)
    assert Worked("", "", HEAD + PROFILE + CONFIG, ()).setup("NAME", person(ago=None))


MISTAKES = [
    (path, value)
    for path, row in SETTINGS.items()
    for value in code(row[2])
    if value not in ("expires_in", "config")
]


@pytest.mark.parametrize(("path", "value"), MISTAKES)
def test_a_mistake_of_the_table_is_found_at_its_setting(path: str, value: str) -> None:
    found = problems(with_setting(path, value))
    assert found
    assert all(f"{where}.".startswith(f"{path}.") for where in found)


def test_every_setting_has_a_mistake_to_show() -> None:
    assert {path for path, _ in MISTAKES} == set(SETTINGS)


def test_the_mistakes_without_an_example_are_found_too() -> None:
    dated = with_setting("callers.require", "{ born = [2026-11-24] }")
    assert problems(dated) == ["callers.require.born"]
    both = with_setting("profiles.NAME.client_may_set", '["tools"]')
    both += "tools = [{ google_search = {} }]\n"
    assert problems(both) == ["profiles.NAME.client_may_set"]
    (level,) = problems(
        with_setting("profiles.NAME.config", 'thinking_config = { thinking_level = "LOW" }')
    )
    assert level == "profiles.NAME.config.thinking_config.thinking_level"
    assert problems(with_setting("profiles.NAME.model", '"gemini-3.8-liv"')) == []
    assert problems(with_setting("profiles", "{}")) == ["profiles"]
    assert problems((HEAD + PROFILE + CONFIG).replace("NAME", "a" * 64)) == []
    for name in ('"my tutor"', "a" * 65):
        named = (HEAD + PROFILE + CONFIG).replace("NAME", name)
        assert problems(named) == [f"profiles.{name}"]
    long = with_setting("profiles.NAME.claims.CLAIM.default", json.dumps("a" * 21))
    assert problems(long) == ["profiles.NAME.claims.CLAIM.default"]


def test_a_limit_can_be_of_each_unit_and_of_several() -> None:
    text = " ".join(section("Every setting").partition("Limits are of")[2].split())
    units = re.findall(r"\b(second|minute|hour|day|month|year)\b", text)
    seconds = dict(zip(units, (1, 60, HOUR, DAY, 30 * DAY, 360 * DAY), strict=True))
    for unit, each in seconds.items():
        assert limit(f"2/{unit}") == (Limit(2, each),)
    assert "`" + '"30/7 days"' + "`" in text
    assert limit("30/7 days") == (Limit(30, 7 * DAY),)
    assert ("(30 days)" in text, "(360 days)" in text) == (True, True)


def limit(text: str) -> tuple[Limit, ...]:
    source = with_setting("profiles.NAME.limit", json.dumps(text))
    return policy.read(source.encode()).profiles["NAME"].limit


def test_a_setting_below_the_config_is_unknown_there() -> None:
    found = problems(HEAD + PROFILE + CONFIG + 'limit = "3/hour"\n')
    assert found == ["profiles.NAME.config.limit"]


# ------------------------------------------------------------------ how to choose


@pytest.mark.parametrize(
    ("minutes", "row"), list(zip((10, 15, 30), table(section("How to choose"))[:3], strict=True))
)
def test_a_conversation_needs_what_its_row_says_and_no_less(minutes: int, row: list[str]) -> None:
    assert str(minutes) in row[0] or row[0] == "longer"
    rows = table(section("How to choose"))[: (10, 15, 30).index(minutes) + 1]
    needed = [line for each in rows for line in code(each[1])]
    assert len(needed) == len(rows) - 1
    times = f'limit = "3/hour"\nexpires_in = "{minutes}m"\n'
    base = HEAD + PROFILE + times + CONFIG + 'system_instruction = "Be kind."\n'
    assert warnings(base + "\n".join(needed)) == []
    for line in needed:
        fewer = [each for each in needed if each != line]
        assert len(warnings(base + "\n".join(fewer))) == 1
    longer = base.replace(f"{minutes}m", f"{minutes}m1s")
    assert (warnings(longer + "\n".join(needed)) == []) is (minutes == 30)


def test_what_can_be_open_is_what_the_page_lists() -> None:
    text = section("What to lock: `config` and `client_may_set`")
    listed = code(text.partition("What can be open is a whole field:")[2].partition(".")[0])
    assert listed == list(FIELDS)


def test_a_claim_whose_name_holds_a_dot_cannot_be_named() -> None:
    (name,) = [each for each in code(section("Who: `require`")) if each.startswith("https:")]
    source = with_setting("callers.require", f'{{ "{name}" = ["pro"] }}')
    assert problems(source) == []
    with pytest.raises(Refused):
        policy.read(source.encode()).callers.admit(person({name: "pro"}))


def test_a_claim_that_the_instruction_does_not_name_refuses_all_the_same() -> None:
    source = HEAD + PROFILE + "claims = { level = { max_length = 2 } }\n" + CONFIG
    source += 'system_instruction = "Be kind."\n'
    assert (Code.UNUSED_CLAIM.name, "profiles.NAME.claims.level") in warnings(source)
    with pytest.raises(Refused):
        Worked("", "", source, ()).setup("NAME", person())


def test_check_does_not_warn_of_a_rule_on_a_name() -> None:
    base = HEAD + "[callers]\n{}\n" + PROFILE + CONFIG
    assert warnings(base.format('require = { name = ["Ada"] }')) == warnings(base.format(""))


# ------------------------------------------------------------------ the warnings


def test_the_table_of_warnings_has_every_code_in_order() -> None:
    rows = table(section("What check warns of"))
    assert [row[0].strip("`") for row in rows] == [each.name for each in Code]
    assert all(row[1] for row in rows)


# ------------------------------------------------------------------ the worked policies


def person(
    more: Mapping[str, Any] | None = None,
    *,
    anonymous: bool = False,
    ago: float | None = 60,
    **claims: Any,
) -> Caller:
    """A verified caller, of whom the policy looks at nothing but these."""
    return Caller("an issuer", "a sub", anonymous, {**(more or {}), **claims}, ago)


@dataclass(frozen=True)
class Worked:
    """A worked policy, and what the page says around it."""

    title: str
    before: str
    source: str
    after: tuple[str, ...]

    @property
    def policy(self) -> Policy:
        return policy.read(self.source.encode())

    @property
    def needs(self) -> dict[str, str]:
        """The environment that the page says it needs."""
        names = [name for name in code(self.before) if re.fullmatch(r"[A-Z]+_[A-Z_]+", name)]
        return {name: ENVIRONMENT[name] for name in names}

    def body(self, profile: str, caller: Caller, resume: str | None = None) -> Any:
        """What Gemini is asked for, if every rule of the policy lets the caller pass."""
        rules = self.policy
        rules.callers.admit(caller)
        allowed = rules.profiles[profile]
        allowed.admit(caller)
        compiled = Compiled(allowed, compile_policy(rules)[profile])
        return json.loads(compiled.constraint(caller, resume).request("2030", "2030"))

    def setup(self, profile: str, caller: Caller, resume: str | None = None) -> Any:
        """What the session is locked to."""
        return self.body(profile, caller, resume)["bidiGenerateContentSetup"]

    def says(self, profile: str, caller: Caller) -> str:
        """The instruction that the model gets."""
        (part,) = self.setup(profile, caller)["systemInstruction"]["parts"]
        return str(part["text"])

    def refuses(
        self, profile: str, caller: Caller, resume: str | None = None
    ) -> tuple[str, str | None]:
        """The reason for which a caller is refused, and the rule."""
        with pytest.raises(Refused) as refused:
            self.body(profile, caller, resume)
        return refused.value.reason.name, refused.value.rule


def worked() -> Iterator[Worked]:
    blocks = re.split(r"^### ", section("Four worked policies"), flags=re.MULTILINE)
    for block in blocks[1:]:
        title, _, text = block.partition("\n")
        before, source, after = re.split(r"^```toml\n|^```\n(?=\n-)", text, flags=re.MULTILINE)
        yield Worked(title, before, source, tuple(re.split(r"```text\n|```\n", after)))


WORKED = tuple(worked())
EACH = pytest.mark.parametrize("each", WORKED, ids=lambda each: each.title)
TUTOR, DOMAIN, KIOSK, AGENT = WORKED


def test_every_policy_of_the_page_is_one_of_the_four() -> None:
    assert PAGE.count("```toml") == len(WORKED) == 4


@EACH
def test_a_worked_policy_is_sound_and_fits_the_schema(each: Worked) -> None:
    assert each.source.startswith("#:schema ./docs/policy.schema.json\n")
    assert problems(each.source) == []
    Draft7Validator(SCHEMA).validate(tomllib.loads(each.source))


@EACH
def test_the_page_says_exactly_what_check_warns_of(each: Worked) -> None:
    said = each.after[0].rpartition("Check warns of ")[2]
    pairs = re.findall(r"`([A-Z_]+)` at `([^`]+)`", said)
    assert pairs or said.startswith("nothing")
    assert warnings(each.source) == pairs


@EACH
def test_an_excerpt_is_what_check_prints(
    each: Worked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(each.source, encoding="utf-8")
    assert main(["check", "--policy", str(file)]) == 0
    printed = capsys.readouterr().out.splitlines()
    runs = [run.strip("\n").splitlines() for run in each.after[1].split(LEFT_OUT + "\n")]
    assert len(runs) > 1
    at = printed.index(runs[0][0])
    for number, run in enumerate(runs):
        start = at if number == 0 else printed.index(run[0], at + 1)
        assert printed[start : start + len(run)] == run
        at = start + len(run)


@EACH
def test_the_environment_that_the_page_names_is_enough_and_all_needed(each: Worked) -> None:
    assert Settings.read(each.needs, each.policy)
    for name in each.needs.keys() - UNCHECKED:
        fewer = {key: value for key, value in each.needs.items() if key != name}
        with pytest.raises(Problems):
            Settings.read(fewer, each.policy)


@EACH
def test_where_nothing_is_left_open_the_setup_stands_for_the_clients_whole(each: Worked) -> None:
    for name, body in compile_policy(each.policy).items():
        assert ("fieldMask" in body) is (each is DOMAIN and name == "lab")
        assert body["uses"] == 1


# The tutor


def learner(**claims: Any) -> Caller:
    return person(**{"email_verified": True, **claims})


def test_the_tutor_wants_a_verified_address() -> None:
    rule = "callers.require.email_verified"
    for claims in ({"email_verified": False}, {"email_verified": "true"}, {"email_verified": 1}):
        assert TUTOR.refuses("default", person(**claims)) == ("NOT_ALLOWED", rule)
    assert TUTOR.refuses("default", person())[1] == rule
    assert TUTOR.body("default", learner())
    guest = Caller("an issuer", "a sub", True, {"email_verified": True}, 60)
    assert TUTOR.refuses("default", guest)[1] == "callers.allow_anonymous"


@pytest.mark.parametrize("plan", ["free", "Pro", "", True, None, ["free"], []])
def test_only_who_pays_gets_the_tutors_pro_profile(plan: Any) -> None:
    rule = "profiles.pro.require.plan"
    assert TUTOR.refuses("pro", learner(plan=plan)) == ("NOT_ALLOWED", rule)
    assert TUTOR.refuses("pro", learner())[1] == rule
    assert TUTOR.body("default", learner(plan=plan))


@pytest.mark.parametrize("plan", ["pro", "team", ["free", "pro"]])
def test_who_pays_may_have_both_profiles_of_the_tutor(plan: Any) -> None:
    assert TUTOR.body("pro", learner(plan=plan))
    assert TUTOR.body("default", learner(plan=plan))
    assert TUTOR.refuses("pro", person(plan=plan))[1] == "callers.require.email_verified"


def test_the_tutor_gives_three_talks_a_day_and_more_to_who_pays() -> None:
    profiles = TUTOR.policy.profiles
    assert profiles["default"].limit == (Limit(3, DAY),)
    assert profiles["pro"].limit == (Limit(10, HOUR), Limit(40, DAY))
    assert TUTOR.needs["LIMITS_STORAGE"].startswith("async+redis://")


@pytest.mark.parametrize("profile", ["default", "pro"])
def test_the_tutor_speaks_to_the_level_that_your_server_set(profile: str) -> None:
    assert "of level B2." in TUTOR.says(profile, learner(plan="pro", level="B2"))
    assert "of level A1." in TUTOR.says(profile, learner(plan="pro"))
    for level in ("B2+", 2, None, "\u202e"):
        refused = TUTOR.refuses(profile, learner(plan="pro", level=level))
        assert refused == ("NOT_ALLOWED", f"profiles.{profile}.claims.level")


def test_a_lesson_goes_on_with_resume_and_a_taste_does_not() -> None:
    payer = learner(plan="pro")
    assert TUTOR.setup("pro", payer, "a handle")["sessionResumption"] == {"handle": "a handle"}
    assert TUTOR.refuses("default", payer, "a handle") == ("INVALID_REQUEST", None)


# The tool of a domain


def colleague(**claims: Any) -> Caller:
    """Somebody whose Google ID token does not say when they signed in."""
    return person(ago=None, **{"hd": "example.com", "email_verified": True, **claims})


def test_the_domain_tool_takes_its_domain_and_needs_no_auth_time() -> None:
    setup = DOMAIN.setup("default", colleague())
    assert setup["tools"] == [{"googleSearch": {}}]


@pytest.mark.parametrize(
    "domain", ["example.org", "Example.com", "example.com.evil.com", "sub.example.com", "", None]
)
def test_the_domain_tool_refuses_another_domain(domain: str | None) -> None:
    for profile in DOMAIN.policy.profiles:
        assert DOMAIN.refuses(profile, colleague(hd=domain))[1] == "callers.require.hd"


@pytest.mark.parametrize("profile", ["default", "lab"])
def test_the_domain_tool_refuses_who_has_no_domain_whatever_the_address(profile: str) -> None:
    private = person(email="ada@example.com", email_verified=True)
    assert DOMAIN.refuses(profile, private) == ("NOT_ALLOWED", "callers.require.hd")


def test_two_people_alone_get_the_domain_tools_open_profile() -> None:
    rule = "profiles.lab.require.email"
    for name in ("ada", "grace"):
        assert DOMAIN.body("lab", colleague(email=f"{name}@example.com"))
    assert DOMAIN.refuses("lab", colleague(email="bob@example.com"))[1] == rule
    assert DOMAIN.refuses("lab", colleague())[1] == rule
    unverified = colleague(email="ada@example.com", email_verified=False)
    assert DOMAIN.refuses("lab", unverified)[1] == "callers.require.email_verified"


def test_the_domain_tools_open_profile_leaves_the_instruction_and_no_tools() -> None:
    body = DOMAIN.body("lab", colleague(email="ada@example.com"))
    mask = body["fieldMask"].split(",")
    assert {*mask} == {"model", "generationConfig", *FIELDS.values()} - {"systemInstruction"}
    assert {"systemInstruction", "tools"}.isdisjoint(body["bidiGenerateContentSetup"])


def test_gclouds_client_id_is_taken_with_the_rule_on_hd_alone() -> None:
    clients = f"{ENVIRONMENT['GOOGLE_CLIENT_IDS']},{GCLOUD_CLIENT_IDS[0]}"
    environment = {**DOMAIN.needs, "GOOGLE_CLIENT_IDS": clients}
    assert Settings.read(environment, DOMAIN.policy)
    without = DOMAIN.source.replace('hd = ["example.com"], ', "")
    assert without != DOMAIN.source
    with pytest.raises(Problems):
        Settings.read(environment, policy.read(without.encode()))


# The kiosk

SCREEN = person(anonymous=True, firebase={"sign_in_provider": "anonymous"})


def test_the_kiosk_takes_anonymous_accounts_and_no_others() -> None:
    assert KIOSK.body("default", SCREEN)
    rule = "callers.require.firebase.sign_in_provider"
    for firebase in ({"sign_in_provider": "password"}, {}, None):
        assert KIOSK.refuses("default", person(firebase=firebase)) == ("NOT_ALLOWED", rule)
    assert KIOSK.refuses("default", person())[1] == rule


def test_the_kiosk_uses_each_app_check_token_up_and_needs_one_project() -> None:
    assert KIOSK.policy.callers.app_check == "consume"
    two = {**KIOSK.needs, "FIREBASE_PROJECT_ID": "demo-one,demo-two"}
    with pytest.raises(Problems):
        Settings.read(two, KIOSK.policy)


def test_without_app_check_the_kiosks_limit_holds_nobody() -> None:
    off = KIOSK.source.replace('"consume"', '"off"')
    assert warnings(off) == [("LIMIT_OF_NOBODY", "profiles.default.limit")]


def test_a_kiosk_has_sixty_short_talks_an_hour() -> None:
    profile = KIOSK.policy.profiles["default"]
    assert profile.limit == (Limit(60, HOUR),)
    assert profile.limit[0].amount * profile.expires_in.total_seconds() == 300 * 60
    assert "300\n  minutes" in KIOSK.after[0]


# The agent


def customer(*, ago: float | None = 60, **claims: Any) -> Caller:
    return person(ago=ago, **{"customer": True, "shop": "Clocks & Co.", **claims})


def test_the_agent_serves_customers_in_the_name_of_their_shop() -> None:
    assert "customers of the shop Clocks & Co." in AGENT.says("default", customer())
    for claim in (False, "true", 1, None):
        assert AGENT.refuses("default", customer(customer=claim))[1] == "callers.require.customer"


def test_the_agent_refuses_a_customer_without_a_shop() -> None:
    caller = person(customer=True)
    with pytest.raises(Refused) as refused:
        AGENT.body("default", caller)
    assert refused.value.reason is Reason.NOT_ALLOWED
    assert refused.value.detail is Detail.CLAIM_MISSING
    assert AGENT.refuses("default", customer(shop="a" * 31))[1] == "profiles.default.claims.shop"
    assert AGENT.says("default", customer(shop="a" * 30))


@pytest.mark.parametrize("resume", [None, "a handle"])
def test_the_agent_wants_a_sign_in_of_the_last_12_hours(resume: str | None) -> None:
    assert AGENT.setup("default", customer(ago=12 * HOUR), resume)
    for ago in (12 * HOUR + 1, None):
        refused = AGENT.refuses("default", customer(ago=ago), resume)
        assert refused == ("NOT_ALLOWED", "callers.max_auth_age")


def test_the_agents_tools_are_locked() -> None:
    (tool,) = AGENT.setup("default", customer())["tools"]
    assert [each["name"] for each in tool["functionDeclarations"]] == ["find_order", "call_back"]
    assert AGENT.policy.profiles["default"].client_may_set == ()


# ------------------------------------------------------------------ the page


def test_the_page_names_only_what_is_there() -> None:
    links = re.findall(r"\]\(#([^)]+)\)", PAGE)
    titles = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    assert links
    assert set(links) <= anchors
    reasons = set(code(PAGE)) & {reason.name for reason in Reason}
    assert reasons == {
        "APP_CHECK_UNAVAILABLE",
        "GEMINI_REFUSED",
        "LIMITS_UNAVAILABLE",
        "NOT_ALLOWED",
    }
