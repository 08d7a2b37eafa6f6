"""Permissions: the IAM policies of a resource and of its project, with the table of roles."""

from __future__ import annotations

from cloud.call import Call
from cloud.errors import Refused, Unknown, denied, invalid, precondition
from cloud.roles import ROLES, allows, fits
from cloud.rules import Rules
from cloud.state import Json, Policy, State

ANYBODY = "allUsers"
_PUBLIC = (ANYBODY, "allAuthenticatedUsers")


def member(email: str) -> str:
    """An account in the form that policies use."""
    kind = "serviceAccount" if email.endswith("gserviceaccount.com") else "user"
    return f"{kind}:{email}"


class Access:
    """Decides from the current state whether an account has a permission."""

    def __init__(self, state: State, rules: Rules) -> None:
        self._state = state
        self._rules = rules

    def allowed(self, principal: str, permission: str, resource: str) -> bool:
        """Whether a policy of the resource or of its project grants an account a permission."""
        names = (member(principal), *_PUBLIC) if principal else (ANYBODY,)
        found = False
        for place in {resource, f"projects/{self._state.project}"}:
            policy = self._state.policy(place)
            for role, members in policy.members.items():
                if allows(role, permission):
                    found |= any(_counts(policy, role, each) for each in members & {*names})
        return found

    def require(self, principal: str, permission: str, resource: str) -> None:
        """Raise Refused, which names the permission, if the account lacks it."""
        if not self.allowed(principal, permission, resource):
            raise denied(permission, resource)

    def held(self, call: Call, resource: str) -> Json:
        """The answer to `testIamPermissions`: the requested permissions that the caller has."""
        asked = call.json.get("permissions", [])
        return {"permissions": [x for x in asked if self.allowed(call.principal, x, resource)]}

    def require_act_as(self, principal: str, account: str) -> None:
        """Raise Refused if an account may not be used, does not exist or is not visible yet.

        The message is Cloud Run's, as quoted in bug reports.
        """
        known = self._state.accounts.get(account)
        resource = f"projects/{self._state.project}/serviceAccounts/{account}"
        visible = known is not None and self._seen(account)
        if not visible or not self.allowed(principal, "iam.serviceAccounts.actAs", resource):
            message = f"Permission 'iam.serviceaccounts.actAs' denied on service account {account}"
            raise Refused("PERMISSION_DENIED", f"{message} (or it may not exist).")

    def set_policy(self, resource: str, kind: str, asked: Json) -> Policy:
        """Replace a resource's policy, as `setIamPolicy` does.

        Args:
            resource: its full name.
            kind: `project`, or the API whose roles may be granted on it.
            asked: the request's body.

        Raises:
            Refused: the etag is old, or a role or member is invalid.
        """
        written = asked.get("policy", {})
        current = self._state.policy(resource)
        if written.get("etag") not in (None, "", current.etag):
            message = "There were concurrent policy changes. Please retry the whole"
            raise Refused("ABORTED", f"{message} read-modify-write with exponential backoff.")
        conditional = [each for each in written.get("bindings", []) if each.get("condition")]
        if conditional and written.get("version") != 3:
            raise invalid("A policy with conditional role bindings must have version 3.")
        members: dict[str, set[str]] = {}
        for binding in written.get("bindings", []):
            if binding in conditional:
                continue
            role = str(binding["role"])
            if role not in ROLES or not fits(role, kind):
                raise invalid(f"Role {role} is not supported for this resource.")
            members.setdefault(role, set()).update(binding.get("members", []))
        for each in set().union(*members.values()) - set().union(*current.members.values()):
            self._check_member(each)
        for role, names in members.items():
            for each in names - current.members.get(role, set()):
                current.lags[role, each] = self._rules.lag
        current.members = {role: names for role, names in members.items() if names}
        current.conditional = conditional
        current.version += 1
        return current

    def _check_member(self, name: str) -> None:
        if name in _PUBLIC:
            if self._rules.domain_restricted:
                message = "One or more users named in the policy do not belong to a permitted"
                raise precondition(f"{message} customer.")
            return
        kind, _, email = name.partition(":")
        if kind == "user" and "@" in email:
            return
        if kind != "serviceAccount":
            raise Unknown(f"a member {name}")
        if email not in self._state.accounts or not self._seen(email):
            raise invalid(f"Service account {email} does not exist.")

    def _seen(self, email: str) -> bool:
        """Whether an account is visible. Each call counts down until it is."""
        account = self._state.accounts[email]
        account.unseen, unseen = max(0, account.unseen - 1), account.unseen
        return unseen == 0


def _counts(policy: Policy, role: str, name: str) -> bool:
    """Whether a grant is in force. Each call counts down until it is."""
    lag = policy.lags.get((role, name), 0)
    policy.lags[role, name] = max(0, lag - 1)
    return lag == 0
