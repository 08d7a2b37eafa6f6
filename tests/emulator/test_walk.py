"""The steps of `make run`, against the real function and a policy of several profiles."""

import pytest
from stack import Stack

from emulator.walk import Failed, Walk


def profile(name: str, *rules: str, model: str = "gemini-3.8-live") -> str:
    table = [f"[profiles.{name}]", f'model = "{model}"', *rules]
    config = [f"[profiles.{name}.config]", 'response_modalities = ["AUDIO"]']
    return "\n".join([*table, *config, "session_resumption = {}", ""])


POLICY = 'api_version = "v1alpha"\n' + "".join(
    [
        profile("default", 'limit = "4/day"'),
        profile("once", 'limit = "1/day"'),
        profile("team", 'require = { plan = ["team"] }'),
        profile("last"),
        profile("unknown", model="gemini-9-live"),
    ]
)


def walk(at: Stack, *profiles: str) -> Walk:
    urls = (at.function.url, at.issuer_url, at.app_check_url)
    return Walk(*urls, profiles, at.gemini_url, at.clock)


def test_a_session_of_each_profile_opens_and_what_the_user_may_not_use_is_skipped(
    alone: Stack,
) -> None:
    with alone.running(POLICY) as at:
        taken = walk(at, "default", "once", "team", "last")
        steps = dict(taken.steps())
        assert list(steps)[-4:] == ["second use", "profiles", "late start", "expired"]
        skipped = "skipped team (NOT_ALLOWED for ada)"
        assert steps["profiles"] == f"opened a session of once, last; {skipped}"
        at.logged(7)
        minted = [line["profile"] for line in at.log() if line["message"] == "minted"]
        assert minted == ["default", "default", "once", "last", "default", "default"]
        opened, skipped = len(at.gemini.sessions), "skipped once (LIMIT_REACHED for ada), team"
        again = taken.other_profiles(at.issuer.id_token("ada"))
        assert again == f"opened a session of last; {skipped} (NOT_ALLOWED for ada)"
        assert [one.messages for one in at.gemini.sessions[opened:]] == [[]]
        assert "profiles" not in dict(walk(at, "last").steps())


def test_what_the_policy_allows_no_more_is_skipped(alone: Stack) -> None:
    with alone.running('api_version = "v1alpha"\n' + profile("default", "at_once = 1")) as at:
        steps = dict(walk(at, "default").steps())
        skipped = "skipped: the policy allows ada no further token, AT_ONCE_REACHED"
        assert [steps["late start"], steps["expired"]] == [skipped, skipped]


def test_a_profile_that_gemini_refuses_fails_with_its_name(alone: Stack) -> None:
    with alone.running(POLICY) as at:
        refused = walk(at, "default", "last", "unknown")
        with pytest.raises(Failed) as failed:
            refused.other_profiles(at.issuer.id_token("ada"))
        said = "profile unknown: Gemini closed the session with 1007: "
        assert str(failed.value).startswith(said)
        assert len(str(failed.value)) > len(said)
        for fault, reason in ((403, "GEMINI_REFUSED"), (429, "GEMINI_QUOTA")):
            at.gemini.behaviour.fault = fault
            with pytest.raises(Failed, match=f"^profile last: .*{reason}"):
                refused.other_profiles(at.issuer.id_token("ada"))
