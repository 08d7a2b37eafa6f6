"""`allow_anonymous` and `app_check` of a profile replace what [callers] says."""

from itertools import product
from typing import Any

import pytest
from app_checked import HEADER
from asking import function_of, profile, refused
from policies import HEAD, compiled
from stack import Stack

from livetoken.policy import APP_CHECK_MODES
from livetoken.refusals import Reason

OWN = {
    f"{mode}-{who}": (mode, anonymous)
    for mode, (who, anonymous) in product(APP_CHECK_MODES, (("all", "true"), ("users", "false")))
}
"""The mode and `allow_anonymous` of each profile of MIXED that has its own."""

MIXED = (
    f'{HEAD}callers.app_check = "required"\n'
    + profile("default")
    + "".join(
        profile(name, f'app_check = "{mode}"\nallow_anonymous = {anonymous}')
        for name, (mode, anonymous) in OWN.items()
    )
)
EVERY = (
    HEAD
    + '[defaults]\nallow_anonymous = false\napp_check = "required"\n'
    + "[callers]\nallow_anonymous = true\n"
    + profile("default")
    + profile("once", 'app_check = "consume"')
    + profile("strict", "allow_anonymous = false")
)
"""Every profile demands App Check and refuses anonymous accounts, each in its own way."""

mixed, every = function_of(MIXED), function_of(EVERY)

EFFECTIVE = {"default": ("required", "false"), **OWN}
BODIES: list[tuple[bytes, Reason]] = [
    (b"{", Reason.INVALID_REQUEST),
    (b"a" * 9000, Reason.BODY_TOO_LARGE),
    (b'{"profile": "nobody"}', Reason.UNKNOWN_PROFILE),
]


def ask(stack: Stack, name: str, person: str, check: str | None) -> Any:
    token = stack.issuer.id_token(person)
    return stack.ask({"profile": name}, token=token, headers={HEADER: check})


@pytest.mark.parametrize("person", ["ada", "guest"])
@pytest.mark.parametrize("name", EFFECTIVE)
def test_a_token_of_a_profile_cannot_be_had_without_what_it_demands(
    mixed: Stack, name: str, person: str
) -> None:
    mode, anonymous = EFFECTIVE[name]
    let_in = person == "ada" or anonymous == "true"
    checks, mints = len(mixed.app_check.checks), len(mixed.gemini.mints)
    token = mixed.app_check.token()
    for check in (None, "", "x", mixed.app_check.token(exp=1)):
        answer = ask(mixed, name, person, check)
        if mode == "off" and let_in:
            assert answer.status == 200
        else:
            assert answer.is_refusal(
                Reason.NOT_ALLOWED if mode == "off" else Reason.APP_CHECK_FAILED
            )
    statuses = [ask(mixed, name, person, token).status for _ in range(2)]
    again = 401 if mode == "consume" else 200
    assert statuses == ([200, again] if let_in else [403, 403])
    minted = (4 if mode == "off" else 0) + statuses.count(200) if let_in else 0
    assert len(mixed.gemini.mints) - mints == minted
    assert len(mixed.app_check.checks) - checks == (mode == "consume" and let_in)


def test_a_token_that_one_profile_consumed_still_proves_the_app_to_another(mixed: Stack) -> None:
    token = mixed.app_check.token()
    for name, status in (("consume-all", 200), ("default", 200), ("consume-users", 401)):
        assert ask(mixed, name, "ada", token).status == status


# ------------------------------------------------------------------ the order


@pytest.mark.parametrize(("body", "reason"), BODIES)
def test_what_profiles_differ_in_is_checked_after_the_body(
    mixed: Stack, body: bytes, reason: Reason
) -> None:
    for person in ("ada", "guest"):
        refused(mixed, reason, body, token=mixed.issuer.id_token(person))


@pytest.mark.parametrize("body", [body for body, _ in BODIES])
def test_what_every_profile_demands_is_checked_before_the_body(every: Stack, body: bytes) -> None:
    for check, person, reason in (
        ("x", "ada", Reason.APP_CHECK_FAILED),
        ("x", "guest", Reason.APP_CHECK_FAILED),
        (every.app_check.token(), "guest", Reason.NOT_ALLOWED),
    ):
        token = every.issuer.id_token(person)
        line = refused(every, reason, body, token=token, headers={HEADER: check})
        assert "profile" not in line


def test_the_rule_in_the_log_is_where_it_was_written(mixed: Stack, every: Stack) -> None:
    def rule(stack: Stack, name: str) -> Any:
        token, headers = stack.issuer.id_token("guest"), {HEADER: stack.app_check.token()}
        asked = {"profile": name}
        return refused(stack, Reason.NOT_ALLOWED, asked, token=token, headers=headers)["rule"]

    assert rule(mixed, "default") == "callers.allow_anonymous"
    assert rule(mixed, "off-users") == "profiles.off-users.allow_anonymous"
    assert rule(every, "once") == "defaults.allow_anonymous"


# ------------------------------------------------------------------ the decided policy


def test_the_lock_has_what_each_profile_demands() -> None:
    decided = compiled(MIXED).profiles
    assert {
        name: (each.app_check, str(each.anonymous.allowed).lower())
        for name, each in decided.items()
    } == EFFECTIVE
    assert compiled(MIXED).app_check == "consume"
    assert compiled(MIXED).least_app_check == "off"
    assert (compiled(EVERY).app_check, compiled(EVERY).least_app_check) == ("consume", "required")
