"""A container registry: the digest of a public image's tag, as Docker's clients ask for it.

"HTTP API V2" (github.com/distribution/distribution, docs/content/spec/api.md): a client that may
read an image gets its manifest, in a type that it accepts. Public images need no credential. Images
here are for several platforms, so their manifest is an index.
"""

from __future__ import annotations

import json

from cloud.call import Answer, Call, Route
from cloud.errors import not_found
from cloud.state import Json
from cloud.world import Api

_INDEX = "application/vnd.oci.image.index.v1+json"


class Registry(Api):
    """Google's public images."""

    name = "gcr.io"
    always_on = True

    def table(self) -> list[Route]:
        return [
            Route("GET", "/v2/", self._version),
            Route("GET", "/v2/{image:path}/manifests/{tag}", self._manifest),
        ]

    def _version(self, call: Call) -> Json:
        return {}

    def _manifest(self, call: Call) -> Answer:
        known = f"{call['image']}:{call['tag']}" in self.world.rules.public_images
        if not known or _INDEX not in call.headers.get("accept", ""):
            raise not_found(f"Failed to fetch {call['tag']}")
        content = index(call["image"], call["tag"])
        return Answer(content, 200, {"Content-Type": _INDEX})


def index(image: str, tag: str) -> bytes:
    """The manifest of an image. It differs for each tag, as its digest must."""
    about = {"org.opencontainers.image.ref.name": f"{image}:{tag}"}
    made = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [], "annotations": about}
    return json.dumps(made).encode()
