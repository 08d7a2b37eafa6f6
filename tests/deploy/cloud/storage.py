"""Cloud Storage's JSON API v1: buckets, their policies, and the archives of deploys and builds."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from urllib.parse import quote

from cloud.call import Answer, Call, Route
from cloud.errors import Refused, exists, not_found
from cloud.state import Bucket, Json, timestamp
from cloud.world import Api, World


class Storage(Api):
    """Buckets and objects."""

    name = "storage.googleapis.com"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._uploads: dict[str, tuple[str, Mapping[str, str]]] = {}

    def table(self) -> list[Route]:
        return [
            Route("GET", "/storage/v1/b", self._list),
            Route("POST", "/storage/v1/b", self._create),
            Route("GET", "/storage/v1/b/{bucket}", self._get),
            Route("GET", "/storage/v1/b/{bucket}/iam", self._policy),
            Route("PUT", "/storage/v1/b/{bucket}/iam", self._set_policy),
            Route("GET", "/storage/v1/b/{bucket}/o", self._objects),
            Route("GET", "/storage/v1/b/{bucket}/o/{object:path}", self._object),
            Route("GET", "/download/storage/v1/b/{bucket}/o/{object:path}", self._object),
            Route("POST", "/upload/storage/v1/b/{bucket}/o", self._upload),
            Route("POST", "/resumable/upload/storage/v1/b/{bucket}/o", self._upload),
            Route("PUT", "/upload/storage/v1/b/{bucket}/o", self._resumed),
            Route("PUT", "/resumable/upload/storage/v1/b/{bucket}/o", self._resumed),
        ]

    def _list(self, call: Call) -> Json:
        self.require(call, "storage.buckets.list")
        prefix = call.query.get("prefix", "")
        found = [each for each in self.state.buckets.values() if each.name.startswith(prefix)]
        return {"kind": "storage#buckets", "items": [self._described(each) for each in found]}

    def _create(self, call: Call) -> Json:
        self.require(call, "storage.buckets.create")
        asked = call.json
        name = str(asked["name"])
        if name in self.state.buckets:
            raise exists("Your previous request to create the named bucket succeeded.")
        made = self.state.buckets[name] = Bucket(name, asked)
        return self._described(made)

    def _get(self, call: Call) -> Json:
        self._may(call, "storage.buckets.get")
        return self._described(self._bucket(call))

    def _policy(self, call: Call) -> Json:
        self._may(call, "storage.buckets.getIamPolicy")
        return self.state.policy(self.bucket(self._bucket(call).name)).as_json()

    def _set_policy(self, call: Call) -> Json:
        self._may(call, "storage.buckets.setIamPolicy")
        name = self.bucket(self._bucket(call).name)
        return self.access.set_policy(name, "storage", {"policy": call.json}).as_json()

    def _objects(self, call: Call) -> Json:
        self._may(call, "storage.objects.list")
        bucket = self._bucket(call)
        prefix = call.query.get("prefix", "")
        found = [name for name in bucket.objects if name.startswith(prefix)]
        return {
            "kind": "storage#objects",
            "items": [self._object_described(bucket, each) for each in found],
        }

    def _object(self, call: Call) -> Json | Answer:
        self._may(call, "storage.objects.get")
        bucket = self._bucket(call)
        if call["object"] not in bucket.objects:
            message = f"No such object: {bucket.name}/{call['object']}"
            if call.query.get("alt") == "media":
                return Answer(message.encode(), 404)
            raise not_found(message)
        if call.query.get("alt") == "media":
            return self._content(call, bucket, call["object"])
        return self._object_described(bucket, call["object"])

    def _content(self, call: Call, bucket: Bucket, name: str) -> Answer:
        etag = f"etag-{bucket.generations[name]}"
        headers = {"ETag": etag, "Cache-Control": "private, max-age=0"}
        if call.headers.get("if-none-match") == etag:
            return Answer(b"", 304, headers)
        return Answer(bucket.objects[name], headers=headers)

    def _upload(self, call: Call) -> Json | Answer:
        self._may(call, "storage.objects.create")
        name = call.query.get("name", "")
        if call.query.get("uploadType") == "resumable":
            name = name or str(call.json["name"])
            upload = f"upload-{self.state.next()}"
            self._uploads[upload] = (name, call.query)
            url = f"https://{call.host}{call.path}?uploadType=resumable&upload_id={upload}"
            return Answer(b"", headers={"Location": url})
        if call.query.get("uploadType") == "multipart":
            described, content = _parts(call)
            return self._stored(call, name or str(described["name"]), content, call.query)
        return self._stored(call, name, call.body, call.query)

    def _resumed(self, call: Call) -> Json | Answer:
        self._may(call, "storage.objects.create")
        name, query = self._uploads[call.query["upload_id"]]
        return self._stored(call, name, call.body, query)

    def _stored(
        self, call: Call, name: str, content: bytes, query: Mapping[str, str]
    ) -> Json | Answer:
        """Store a new generation, if the query's precondition holds.

        To replace an object takes the permission to delete it ("IAM permissions for JSON methods").
        """
        bucket = self._bucket(call)
        generation = query.get("ifGenerationMatch")
        if generation is not None and int(generation) != bucket.generations.get(name, 0):
            message = "At least one of the pre-conditions you specified did not hold."
            return Answer({"error": {"code": 412, "message": message}}, 412)
        if name in bucket.objects:
            self._may(call, "storage.objects.delete")
        bucket.objects[name] = content
        bucket.generations[name] = 1_700_000_000_000_000 + self.state.next()
        return self._object_described(bucket, name)

    def _may(self, call: Call, permission: str) -> None:
        """Raise Refused with this API's message, which names the account."""
        if not self.access.allowed(call.principal, permission, self.bucket(call["bucket"])):
            message = f"{call.principal} does not have {permission} access to the Google Cloud"
            ending = f"Storage bucket. Permission '{permission}' denied on resource"
            raise Refused("PERMISSION_DENIED", f"{message} {ending} (or it may not exist).")

    def _bucket(self, call: Call) -> Bucket:
        bucket = self.state.buckets.get(call["bucket"])
        if bucket is None:
            raise not_found("The specified bucket does not exist.")
        return bucket

    def _described(self, bucket: Bucket) -> Json:
        return {
            "kind": "storage#bucket",
            "id": bucket.name,
            **bucket.body,
            "name": bucket.name,
            "projectNumber": self.state.number,
            "timeCreated": timestamp(),
        }

    def _object_described(self, bucket: Bucket, name: str) -> Json:
        content = bucket.objects[name]
        generation = str(bucket.generations[name])
        digest = hashlib.md5(content, usedforsecurity=False).digest()
        return {
            "kind": "storage#object",
            "id": f"{bucket.name}/{name}/{generation}",
            "name": name,
            "bucket": bucket.name,
            "generation": generation,
            "metageneration": "1",
            "size": str(len(content)),
            "mediaLink": f"https://{self.name}/download/storage/v1/b/{bucket.name}/o/"
            f"{quote(name, safe='')}?generation={generation}&alt=media",
            "md5Hash": base64.b64encode(digest).decode(),
            "timeCreated": timestamp(),
        }


def _parts(call: Call) -> tuple[Json, bytes]:
    """The two parts of a multipart upload: the metadata of the object and its content.

    gcloud puts the boundary in single quotes in the header, but not in the body.
    """
    _, _, boundary = call.headers["content-type"].partition("boundary=")
    boundary = "--" + boundary.strip("\"'")
    described, content = call.body.split(boundary.encode())[1:3]
    return json.loads(_content(described)), _content(content)


def _content(part: bytes) -> bytes:
    """A part without its header and the line break before the next boundary."""
    _, _, content = part.replace(b"\n\n", b"\r\n\r\n", 1).partition(b"\r\n\r\n")
    return content.removesuffix(b"\n").removesuffix(b"\r")
