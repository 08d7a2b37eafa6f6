"""One uid in two tenants of Identity Platform is two accounts; without a tenant it is a third."""

import hashlib
from contextlib import ExitStack
from typing import Any

import pytest
from limited import Counting, Limited, new_caller

from livetoken.caller import Account, Caller
from livetoken.refusals import Reason, Refused
from livetoken.under_way import MAX_UNDER_WAY, UnderWay

TENANTS: tuple[str | None, ...] = (None, "shop-a1b2c", "shop-d3e4f")
ISSUER = "https://securetoken.google.com/demo-livetoken"


def claims(tenant: str | None) -> dict[str, Any]:
    """The claim of Firebase for a user of a tenant."""
    of = {} if tenant is None else {"tenant": tenant}
    return {"firebase": {"identities": {}, "sign_in_provider": "password", **of}}


def caller(tenant: str | None) -> Caller:
    return Caller(ISSUER, "ada", False, {}, None, tenant)


def test_each_tenant_has_limits_of_its_own(counted: Limited) -> None:
    for tenant in TENANTS:
        token = counted.token(**claims(tenant))
        statuses = [counted.ask(token=token).status for _ in range(4)]
        assert statuses == [200, 200, 200, 429], tenant


def test_each_tenant_has_a_name_of_its_own_in_the_log(counted: Limited) -> None:
    for tenant in (*TENANTS, "eve@example.com"):
        counted.ask("free", token=counted.token(**claims(tenant)))
    lines = [counted.logged(number) for number in range(1, 5)]
    digest = hashlib.sha256(b"eve@example.com").hexdigest()
    assert [line.get("tenant") for line in lines] == [*TENANTS, f"sha256:{digest}"]
    assert {line["sub"] for line in lines} == {counted.sub}
    assert "tenant" not in lines[0]


def test_a_google_account_has_no_tenant(counted: Limited) -> None:
    """Google does not write a claim named `firebase`. If a token has one, it means nothing."""
    for firebase in (claims("shop-a1b2c")["firebase"], {"tenant": 7}, "shop-a1b2c"):
        token = counted.token("grace", firebase=firebase)
        assert counted.ask("free", token=token).status == 200
    assert all("tenant" not in counted.logged(number) for number in (1, 2, 3))
    statuses = [
        counted.ask(token=counted.token("grace", **claims(tenant))).status
        for tenant in (*TENANTS, None)
    ]
    assert statuses == [200, 200, 200, 429]


def test_each_tenant_has_its_own_place_among_the_requests_under_way() -> None:
    under_way = UnderWay()
    with ExitStack() as answering:
        for tenant in TENANTS:
            for _ in range(MAX_UNDER_WAY):
                answering.enter_context(under_way.request(caller(tenant)))
        for tenant in TENANTS:
            with pytest.raises(Refused) as refused, under_way.request(caller(tenant)):
                pass
            assert refused.value.reason is Reason.LIMIT_REACHED
    for tenant in TENANTS:
        with under_way.request(caller(tenant)):
            pass


def test_the_key_of_a_caller_without_a_tenant_stays_the_same(
    counting: Counting,
) -> None:
    """A storage keeps what it counted from one version of the function to the next."""
    with new_caller(counting.function("redis")) as counted:
        counted.ask()
        digest = hashlib.sha256(f"{ISSUER}\n{counted.sub}".encode()).hexdigest()
        assert f"{digest}/default" in " ".join(counting.redis.keys())


# Whatever separates the parts of a name can be in a part.
PARTS = ("", "a", "\n", "a\n", "\na", '"', '", "', "\\", "/", "null", "\x00", "b\nc", "\u2028")
SUBJECTS = tuple(each + more for each in PARTS for more in ("x", "\nx", '", "x', "x\n"))
ACCOUNTS = {
    Account(issuer, tenant, sub)
    for issuer in (ISSUER, "https://accounts.google.com")
    for tenant in (None, *filter(None, PARTS), f"{ISSUER}\na", f'{ISSUER}", "a')
    for sub in (*SUBJECTS, f'["{ISSUER}", "a", "x"]', f"{ISSUER}\nx")
}


def test_no_two_accounts_have_the_same_text() -> None:
    assert len(ACCOUNTS) > 1000
    assert len({account.text for account in ACCOUNTS}) == len(ACCOUNTS)
