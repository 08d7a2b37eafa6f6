"""What the limiter does around a storage."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from policies import compiled, policy

from livetoken.caller import Caller
from livetoken.limits.limiter import Limiter
from livetoken.limits.memory import Memory
from livetoken.refusals import Reason, Refused

POLICY = compiled(policy(profile="total = { at_once = 1 }"))
CALLER = Caller("issuer", "sub", False, {}, 0.0)


def test_an_alert_of_a_total_comes_once_in_an_hour_however_often_it_is_given_back() -> None:
    now, alerts = datetime(2026, 11, 28, tzinfo=UTC), list[str]()
    limiter = Limiter(Memory(), POLICY.total, alert=alerts.append, now=lambda: now)

    async def fail() -> None:
        async with limiter.reserve(CALLER, POLICY.profiles["default"], resumes=False):
            raise Refused(Reason.GEMINI_QUOTA)

    for _ in range(3):
        with pytest.raises(Refused):
            asyncio.run(fail())
    assert alerts == ["profiles.default.total.at_once"]
    now += timedelta(hours=1)
    with pytest.raises(Refused):
        asyncio.run(fail())
    assert len(alerts) == 2
