"""Secret Manager v1: secrets, their versions and policies.

"Add a secret version" and the REST reference of `projects.secrets.versions`: adding and reading a
version transmit the CRC32C of the payload, and a payload with a wrong checksum is refused. An empty
payload is refused with "Secret Payload cannot be empty" (quoted in issues of several projects).
"""

from __future__ import annotations

import base64
import re

from cloud.call import Call, Route
from cloud.errors import exists, invalid, not_found, precondition
from cloud.state import Json, Secret, Version, timestamp
from cloud.world import Api

LARGEST = 65_536  # bytes of a payload


class SecretManager(Api):
    """Secrets."""

    name = "secretmanager.googleapis.com"

    def table(self) -> list[Route]:
        secrets = "/v1/projects/{project}/secrets"
        secret = f"{secrets}/{{secret}}"
        version = f"{secret}/versions/{{version}}"
        return [
            Route("GET", secrets, self._list),
            Route("POST", secrets, self._create),
            Route("GET", secret, self._get),
            Route("GET", f"{secret}:getIamPolicy", self._policy),
            Route("POST", f"{secret}:setIamPolicy", self._set_policy),
            Route("POST", f"{secret}:addVersion", self._add),
            Route("GET", f"{secret}/versions", self._versions),
            Route("GET", version, self._version),
            Route("GET", f"{version}:access", self._access),
        ]

    def _create(self, call: Call) -> Json:
        self.require(call, "secretmanager.secrets.create")
        name = call.query.get("secretId", "")
        if not re.fullmatch("[A-Za-z0-9_-]{1,255}", name):
            raise invalid(f"The provided Secret ID [{name}] does not match the expected format.")
        if name in self.state.secrets:
            raise exists(f"Secret [projects/{self.state.number}/secrets/{name}] already exists.")
        if "replication" not in call.json:
            raise invalid("Field [secret.replication] is required.")
        made = self.state.secrets[name] = Secret(name, call.json, timestamp())
        return self._described(made)

    def _get(self, call: Call) -> Json:
        self.require(call, "secretmanager.secrets.get", self._resource(call))
        return self._described(self._secret(call))

    def _list(self, call: Call) -> Json:
        self.require(call, "secretmanager.secrets.list")
        return {"secrets": [self._described(each) for each in self.state.secrets.values()]}

    def _policy(self, call: Call) -> Json:
        self.require(call, "secretmanager.secrets.getIamPolicy", self._resource(call))
        self._secret(call)
        return self.state.policy(self._resource(call)).as_json()

    def _set_policy(self, call: Call) -> Json:
        self.require(call, "secretmanager.secrets.setIamPolicy", self._resource(call))
        self._secret(call)
        return self.access.set_policy(self._resource(call), "secretmanager", call.json).as_json()

    def _add(self, call: Call) -> Json:
        self.require(call, "secretmanager.versions.add", self._resource(call))
        secret = self._secret(call)
        asked = call.json.get("payload", {})
        payload = base64.b64decode(asked.get("data", ""))
        if not payload:
            raise invalid("Secret Payload cannot be empty.")
        if len(payload) > LARGEST:
            raise invalid(f"The payload is larger than {LARGEST} bytes.")
        checksum = asked.get("dataCrc32c")
        if checksum is not None and int(checksum) != crc32c(payload):
            raise invalid("The payload does not match the checksum.")
        number = len(secret.versions) + 1
        made = secret.versions[number] = Version(number, payload, timestamp())
        return self._version_described(secret, made) | {
            "clientSpecifiedPayloadChecksum": checksum is not None
        }

    def _versions(self, call: Call) -> Json:
        self.require(call, "secretmanager.versions.list", self._resource(call))
        secret = self._secret(call)
        wanted = re.fullmatch("(?:state[:=])?(.*)", call.query.get("filter", ""))
        state = wanted[1].upper() if wanted else ""
        listed = [
            self._version_described(secret, each)
            for each in sorted(secret.versions.values(), key=lambda each: -each.number)
            if state in ("", each.state)
        ]
        return {"versions": listed, "totalSize": len(listed)}

    def _version(self, call: Call) -> Json:
        self.require(call, "secretmanager.versions.get", self._resource(call))
        return self._version_described(*self._found(call))

    def _access(self, call: Call) -> Json:
        self.require(call, "secretmanager.versions.access", self._resource(call))
        secret, version = self._found(call)
        if version.state != "ENABLED":
            name = self._version_name(secret, version)
            raise precondition(f"Secret Version [{name}] is in {version.state} state.")
        data = base64.b64encode(version.payload).decode()
        payload = {"data": data, "dataCrc32c": str(crc32c(version.payload))}
        return {"name": self._version_name(secret, version), "payload": payload}

    def _secret(self, call: Call) -> Secret:
        secret = self.state.secrets.get(call["secret"])
        if secret is None:
            name = f"projects/{self.state.number}/secrets/{call['secret']}"
            raise not_found(f"Secret [{name}] not found.")
        return secret

    def _found(self, call: Call) -> tuple[Secret, Version]:
        secret = self._secret(call)
        version = secret.find(call["version"])
        if version is None:
            name = f"projects/{self.state.number}/secrets/{secret.name}/versions/{call['version']}"
            raise not_found(f"Secret Version [{name}] not found.")
        return secret, version

    def _resource(self, call: Call) -> str:
        return f"{self.project(call)}/secrets/{call['secret']}"

    def _described(self, secret: Secret) -> Json:
        name = f"projects/{self.state.number}/secrets/{secret.name}"
        return {**secret.body, "name": name, "createTime": secret.created, "etag": '"1"'}

    def _version_name(self, secret: Secret, version: Version) -> str:
        return f"projects/{self.state.number}/secrets/{secret.name}/versions/{version.number}"

    def _version_described(self, secret: Secret, version: Version) -> Json:
        return {
            "name": self._version_name(secret, version),
            "createTime": version.created,
            "state": version.state,
            "replicationStatus": {"automatic": {}},
            "etag": '"1"',
        }


def crc32c(data: bytes) -> int:
    """The checksum of RFC 3720, appendix B.4."""
    remainder = 0xFFFF_FFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82F6_3B78 if remainder & 1 else 0)
    return remainder ^ 0xFFFF_FFFF
