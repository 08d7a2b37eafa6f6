"""Identity and Access Management v1: service accounts and their policies."""

from __future__ import annotations

import re

from cloud.call import Call, Route
from cloud.errors import exists, invalid, not_found
from cloud.state import Account, Json
from cloud.world import Api


class Iam(Api):
    """Service accounts."""

    name = "iam.googleapis.com"

    def table(self) -> list[Route]:
        accounts = "/v1/projects/{project}/serviceAccounts"
        account = f"{accounts}/{{email}}"
        return [
            Route("GET", accounts, self._list),
            Route("POST", accounts, self._create),
            Route("GET", account, self._get),
            Route("POST", f"{account}:getIamPolicy", self._policy),
            Route("POST", f"{account}:setIamPolicy", self._set_policy),
        ]

    def _create(self, call: Call) -> Json:
        self.require(call, "iam.serviceAccounts.create")
        asked = call.json
        name = str(asked.get("accountId", ""))
        if not re.fullmatch("[a-z][-a-z0-9]{4,28}[a-z0-9]", name):
            raise invalid("Invalid service account ID: 6 to 30 of a-z, 0-9 and hyphens.")
        email = f"{name}@{self.state.project}.iam.gserviceaccount.com"
        if email in self.state.accounts:
            message = f"Service account {name} already exists within project"
            raise exists(f"{message} projects/{self.state.project}.")
        made = Account(email, f"1{self.state.next():020d}", asked.get("serviceAccount", {}))
        made.unseen = self.world.rules.unseen
        self.state.accounts[email] = made
        return self._described(made)

    def _get(self, call: Call) -> Json:
        self.require(call, "iam.serviceAccounts.get", self._resource(call))
        return self._described(self._account(call))

    def _list(self, call: Call) -> Json:
        self.require(call, "iam.serviceAccounts.list")
        return {"accounts": [self._described(each) for each in self.state.accounts.values()]}

    def _policy(self, call: Call) -> Json:
        self.require(call, "iam.serviceAccounts.getIamPolicy", self._resource(call))
        self._account(call)
        return self.state.policy(self._resource(call)).as_json()

    def _set_policy(self, call: Call) -> Json:
        self.require(call, "iam.serviceAccounts.setIamPolicy", self._resource(call))
        self._account(call)
        return self.access.set_policy(self._resource(call), "iam", call.json).as_json()

    def _account(self, call: Call) -> Account:
        account = self.state.accounts.get(call["email"])
        if account is None:
            name = f"projects/{call['project']}/serviceAccounts/{call['email']}"
            raise not_found(f"Unknown service account: {name}.")
        return account

    def _resource(self, call: Call) -> str:
        return f"{self.project(call)}/serviceAccounts/{call['email']}"

    def _described(self, account: Account) -> Json:
        return {
            "name": f"projects/{self.state.project}/serviceAccounts/{account.email}",
            "projectId": self.state.project,
            "uniqueId": account.unique_id,
            "email": account.email,
            "etag": "MDEwMjE5MjA=",
            "oauth2ClientId": account.unique_id,
            **account.body,
        }
