"""`choices`: each value is compiled ahead, and what is sent is what google-genai would write."""

import json
from dataclasses import replace
from enum import Enum
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from policies import CONFIG, HEAD, PROFILE, SMALLEST, Check, compiled, mistakes, policy
from test_schema import fits

from livetoken import lock
from livetoken.caller import Caller
from livetoken.compile import choices, policy_file
from livetoken.compile.body import compile_document
from livetoken.constraint import SETUP, constrain
from livetoken.mistakes import Mistakes
from livetoken.policy import MOST_CHOICES, Policy, Profile, Scalar
from livetoken.refusals import Detail, Reason, Refused
from livetoken.request import TokenRequest

VOICE = "speech_config.voice_config.prebuilt_voice_config.voice_name"
SENSITIVITY = "realtime_input_config.automatic_activity_detection.start_of_speech_sensitivity"
ONLY_ON_VERTEX = {"explicit_vad_signal", "session_resumption.transparent"}
ADA = Caller("issuer", "ada", False, {}, None)
TIMES = ("2030-01-01T00:30:00Z", "2030-01-01T00:01:00Z")
OFFERED: dict[str, tuple[str, list[Scalar]]] = {
    "voice": (VOICE, ["Kore", "Puck", 'a "quoted" é\u2028']),
    "language": ("speech_config.language_code", ["de-DE", "fr"]),
    "heat": ("temperature", [1, 0.5, 2]),
    "seed": ("seed", [7]),
    "sensitivity": (SENSITIVITY, ["START_SENSITIVITY_LOW", "START_SENSITIVITY_HIGH"]),
    "thoughts": ("thinking_config.include_thoughts", [False, True]),
}
REST: dict[str, Any] = {
    "response_modalities": ["AUDIO"],
    "thinking_config": {"thinking_level": "LOW"},
    "realtime_input_config": {"automatic_activity_detection": {"prefix_padding_ms": 20}},
    "session_resumption": {},
}


def document(config: dict[str, Any], offered: dict[str, Any]) -> dict[str, Any]:
    """A policy with one profile."""
    profile = {"model": "gemini-9-live", "config": config, "choices": offered}
    return {"api_version": "v1alpha", "profiles": {"default": profile}}


def offer(path: str, values: list[Scalar]) -> dict[str, Any]:
    """A choice whose default is the first of its values."""
    return {"path": path, "values": values, "default": values[0]}


def put(config: dict[str, Any], path: str, value: Scalar) -> dict[str, Any]:
    """The config with a value written at a path."""
    made = json.loads(json.dumps(config))
    at, (*above, last) = made, path.split(".")
    for key in above:
        at = at.setdefault(key, {})
    at[last] = value
    return dict(made)


def sent(profile: Profile, chosen: dict[str, Scalar]) -> bytes:
    """The bytes that Gemini gets for a request."""
    return constrain(profile, ADA, TokenRequest(choices=chosen), None).request(*TIMES)


def made(config: dict[str, Any], offered: dict[str, Any]) -> Profile:
    return compile_document(document(config, offered)).profiles["default"]


# ------------------------------------------------------------------ what is sent


def test_every_combination_is_what_google_genai_writes_for_it() -> None:
    profile = made(REST, {name: offer(*each) for name, each in OFFERED.items()})
    seen = set()
    for values in product(*(values for _, values in OFFERED.values())):
        config = REST
        for (path, _), value in zip(OFFERED.values(), values, strict=True):
            config = put(config, path, value)
        chosen = dict(zip(OFFERED, values, strict=True))
        assert sent(profile, chosen) == sent(made(config, {}), {})
        seen.add(sent(profile, chosen))
    assert len(seen) == 3 * 2 * 3 * 2 * 2


def test_a_request_that_does_not_choose_gets_the_defaults() -> None:
    profile = made(REST, {name: offer(*each) for name, each in OFFERED.items()})
    for name, (_, values) in OFFERED.items():
        assert sent(profile, {}) == sent(profile, {name: values[0]})
    assert (
        sent(profile, {})
        == json.dumps(
            {
                **dict(zip(("expireTime", "newSessionExpireTime"), TIMES, strict=True)),
                **profile.body,
            },
            separators=(",", ":"),
        ).encode()
    )


def samples(path: str) -> list[Scalar]:
    """Two values that a field of the config can have."""
    kind: Any = int if path == "top_k" else choices.fields()[path]
    if issubclass(kind, Enum):
        return [each.value for each in kind if not each.value.endswith("UNSPECIFIED")][:2]
    found: dict[Any, list[Scalar]] = {bool: [True, False], str: ["de", "fr"], float: [0.5, 1]}
    return found.get(kind, [1, 2])  # of whole numbers


@pytest.mark.parametrize("path", choices.fields())
def test_each_scalar_of_the_config_can_be_a_choice(path: str) -> None:
    values = samples(path)
    rest: dict[str, Any] = {"response_modalities": ["AUDIO"]}
    if path == "proactivity.proactive_video":
        rest["proactivity"] = {"proactive_audio": True}
    if path.startswith("avatar_config.customized_avatar"):
        rest["avatar_config"] = {"customized_avatar": {"image_data": "aGk="}}
    for offered in (values, values[:1]):
        if path in ONLY_ON_VERTEX:
            with pytest.raises(Mistakes, match=r"choices\.it\.values\.0: exists only on Vertex AI"):
                made(rest, {"it": offer(path, offered)})
            continue
        profile = made(rest, {"it": offer(path, offered)})
        for value in offered:
            assert sent(profile, {"it": value}) == sent(made(put(rest, path, value), {}), {})


def test_there_is_no_mask_with_choices_alone() -> None:
    assert "fieldMask" not in made(REST, {"heat": offer("temperature", [1, 2])}).body


def test_a_choice_in_a_field_that_is_locked_stays_locked_beside_open_ones() -> None:
    written = document(REST, {"heat": offer("temperature", [1, 2])})
    written["profiles"]["default"]["client_may_set"] = ["tools"]
    body = json.loads(sent(compile_document(written).profiles["default"], {"heat": 2}))
    assert body[SETUP]["generationConfig"]["temperature"] == 2
    assert "generationConfig" in body["fieldMask"].split(",")


# ------------------------------------------------------------------ what may be chosen


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("heat", True),
        ("heat", "1"),
        ("heat", 1.5),
        ("heat", float("inf")),
        ("seed", 7.5),
        ("thoughts", 0),
        ("thoughts", "false"),
        ("voice", "kore"),
        ("voice", "Kore "),
        ("voice", ""),
    ],
)
def test_a_value_that_is_not_offered_is_refused(name: str, value: Scalar) -> None:
    profile = made(REST, {name: offer(*each) for name, each in OFFERED.items()})
    with pytest.raises(Refused) as refused:
        sent(profile, {name: value})
    assert refused.value.reason is Reason.INVALID_REQUEST
    assert refused.value.detail is Detail.CHOICE_NOT_OFFERED
    assert refused.value.rule == f"profiles.default.choices.{name}"


def test_numbers_are_compared_as_json_has_them() -> None:
    profile = made(REST, {"heat": offer("temperature", [1, 0.5])})
    assert sent(profile, {"heat": 1.0}) == sent(profile, {"heat": 1})


def test_a_choice_of_another_profile_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        sent(made(REST, {}), {"heat": 1})
    assert (refused.value.detail, refused.value.rule) == (Detail.CHOICE_NOT_OFFERED, None)


# ------------------------------------------------------------------ [defaults]

SHARED = f"""
{HEAD}
[defaults]
model = "gemini-3.8-live"
choices.voice = {{ path = "{VOICE}", values = ["Kore", "Puck"], default = "Kore" }}
choices.heat = {{ path = "temperature", values = [1, 2], default = 1 }}
[defaults.config]
response_modalities = ["AUDIO"]
[profiles.default]
[profiles.other]
choices.voice = {{ path = "{VOICE}", values = ["Leda"], default = "Leda" }}
"""


def test_a_profile_inherits_choices_and_replaces_them_one_by_one() -> None:
    profiles = compiled(SHARED).profiles
    offered = {
        name: {each.name: (each.values, each.path) for each in profile.choices}
        for name, profile in profiles.items()
    }
    heat = ((1, 2), "defaults.choices.heat")
    assert offered == {
        "default": {"voice": (("Kore", "Puck"), "defaults.choices.voice"), "heat": heat},
        "other": {"voice": (("Leda",), "profiles.other.choices.voice"), "heat": heat},
    }


def test_a_mistake_in_defaults_is_told_once() -> None:
    assert mistakes(SHARED.replace("values = [1, 2]", "values = [1, 3]")) == [
        "defaults.choices.heat.values.1"
    ]
    set_too = SHARED + "config.temperature = 1\n"
    assert mistakes(set_too) == ["defaults.choices.heat.path"]
    with pytest.raises(Mistakes, match=r"\(profile other\)"):
        compiled(set_too)


# ------------------------------------------------------------------ the file


def test_a_profile_has_as_many_choices_as_a_request_can_name() -> None:
    paths = [path for path in choices.fields() if path not in ONLY_ON_VERTEX]
    kinds = ((path, choices.fields()[path]) for path in paths)
    simple = [path for path, kind in kinds if kind in (int, float, str)][: MOST_CHOICES + 1]
    offered = {f"c{number}": offer(path, samples(path)[:1]) for number, path in enumerate(simple)}
    assert len(offered) == MOST_CHOICES + 1
    with pytest.raises(Mistakes) as found:
        made({"response_modalities": ["AUDIO"]}, offered)
    assert [str(each) for each in found.value.mistakes] == [
        f"profiles.default.choices: must not have more than {MOST_CHOICES}"
    ]
    offered.popitem()
    assert len(made({"response_modalities": ["AUDIO"]}, offered).choices) == MOST_CHOICES


@pytest.mark.parametrize(
    ("choice", "where", "is_seen"),
    [
        ('path = "temperature", values = [1, 0.5], default = 1', None, True),
        (f'path = "{VOICE}", values = ["Kore"], default = "Kore"', None, True),
        ('path = "temperature", values = [1]', "default", True),
        ('path = "temperature", default = 1', "values", True),
        ("values = [1], default = 1", "path", True),
        ('path = "tools", values = [1], default = 1', "path", True),
        ('path = "labels.team", values = ["a"], default = "a"', "path", True),
        ('path = "temperature", values = [], default = 1', "values", True),
        ('path = "temperature", values = 1, default = 1', "values", True),
        ('path = "temperature", values = [[1], 1], default = 1', "values.0", True),
        ('path = "temperature", values = [1, nan], default = 1', "values.1", False),
        ('path = "seed", values = [1, 99999999999], default = 1', "values.1", False),
        ('path = "temperature", values = [1, 1], default = 1', "values.1", True),
        ('path = "temperature", values = [1], default = 2', "default", False),
        ('path = "temperature", values = [1], default = true', "default", False),
    ],
)
def test_an_editor_marks_what_it_can(choice: str, where: str | None, is_seen: bool) -> None:
    source = policy(profile=f"choices.it = {{ {choice} }}")
    assert mistakes(source) == ([f"profiles.default.choices.it.{where}"] if where else [])
    assert fits(source) == (where is None or not is_seen)


@pytest.mark.parametrize("name", ["a b", "", "é", "a" * 65])
def test_a_choice_has_a_name_that_a_request_can_write(name: str) -> None:
    choice = 'path = "temperature", values = [1], default = 1'
    source = policy(profile=f"choices.{json.dumps(name)} = {{ {choice} }}")
    (where,) = mistakes(source)
    assert where.startswith("profiles.default.choices.")
    assert not fits(source)


# ------------------------------------------------------------------ the lock


def offering(settings: str = "") -> str:
    """A policy with a choice in the setup's own field, and more settings of the profile."""
    choice = 'path = "proactivity.proactive_video", values = [false, true], default = false'
    profile = f"choices.video = {{ {choice} }}\n{settings}\n"
    model = PROFILE.replace("gemini-3.8-live", "gemini-9-live")
    return HEAD + model + profile + CONFIG + "proactivity = { proactive_audio = true }"


def tampered(policy: Policy, **changes: Any) -> Policy:
    """The policy with another choice in it."""
    profile = policy.profiles["default"]
    changed = replace(profile, choices=(replace(profile.choices[0], **changes),))
    return replace(policy, profiles={"default": changed})


@pytest.mark.parametrize(
    "changes",
    [
        {"at": ("model",)},
        {"at": ("proactivity",)},
        {"at": ("proactivity", "proactive_audio")},
        {"at": ("nowhere",)},
        {"at": ()},
        {"sent": (True, False)},
        {"sent": (False,)},
        {"sent": (0, True)},
        {"sent": (False, ["TEXT"])},
        {"default": True},
        {"default": 0},
        {"values": ()},
    ],
)
def test_a_lock_whose_choice_changes_something_else_is_not_served(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    source, file = offering().encode(), tmp_path / "policy.lock.json"
    file.write_text(lock.write(source, compiled(offering())))
    assert lock.fresh(file, source) == compiled(offering())
    file.write_text(lock.write(source, tampered(compiled(offering()), **changes)))
    assert lock.fresh(file, source) is None


def test_a_lock_whose_choice_is_in_an_open_field_is_not_served(tmp_path: Path) -> None:
    written, file = compiled(offering('client_may_set = ["tools"]')), tmp_path / "policy.lock.json"
    profile = written.profiles["default"]
    body = {**profile.body, SETUP: {**profile.body[SETUP], "tools": False}}
    choice = replace(profile.choices[0], at=("tools",))
    changed = replace(profile, choices=(choice,), body=body)
    file.write_text(lock.write(b"", replace(written, profiles={"default": changed})))
    assert lock.fresh(file, b"") is None
    locked = replace(changed, client_may_set=(), body={"uses": 1, SETUP: body[SETUP]})
    file.write_text(lock.write(b"", replace(written, profiles={"default": locked})))
    assert lock.fresh(file, b"") is not None


# ------------------------------------------------------------------ check


def test_check_prints_the_choices(check: Check) -> None:
    source = policy(
        profile='choices.heat = { path = "temperature", values = [0.5, 1], default = 1 }'
    )
    status, printed, _ = check(source)
    assert status == 0
    assert "  client may choose  heat: 0.5, 1; without it: 1; sets temperature\n" in printed
    facts = json.loads(check(source, "--json")[1])["profiles"]["default"]
    assert facts["choices"] == [
        {"name": "heat", "field": "temperature", "values": [0.5, 1], "default": 1}
    ]
    assert facts["locked"] == [{"field": "response_modalities", "value": ["AUDIO"]}]
    assert "client may choose" not in check(SMALLEST)[1]


def test_a_field_of_which_a_part_is_chosen_is_not_empty(check: Check) -> None:
    facts = json.loads(check(offering(), "--json")[1])["profiles"]["default"]
    assert "proactivity" not in facts["locked_empty"]
    assert {"field": "proactivity", "value": {"proactive_audio": True}} in facts["locked"]


def test_a_smoke_test_expects_the_defaults() -> None:
    (config,) = policy_file.complete_configs(offering().encode()).values()
    assert config["proactivity"] == {"proactive_audio": True, "proactive_video": False}


def test_a_field_that_is_not_written_as_one_value_cannot_be_a_choice() -> None:
    """No field of the config is like this today, so google-genai is replaced by ways to write."""
    offered = choices.Offer("heat", ("temperature",), (1, 5), 1)
    for write in (
        lambda config: {"a": config["temperature"], "b": config["temperature"]},
        lambda config: {"a": {str(config["temperature"]): 1}},
        lambda config: {"a": [config["temperature"]]},
        lambda _: {"a": 1},
        lambda config: {"a": config["temperature"], "b": config["temperature"] > 2},
    ):
        decided, ((path, message),) = choices.decided({}, [offered], write)
        assert (decided, path) == ((), ("choices", "heat", "path"))
        assert message == "cannot be a choice: google-genai does not write it as one value"
