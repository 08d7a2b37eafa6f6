"""Google Cloud's control plane and Cloud Run, on loopback, for real gcloud to talk to.

It has state and enforces what it knows: permissions by a table of roles, APIs that are not enabled,
etags, checksums, what cannot be made twice. A revision's code is really started. Each module says
where a rule is from, and which is a guess; `roles` what each role allows.
"""

from cloud.cloud import NAMES, Cloud, Snapshot
from cloud.rules import Fault, Person, Rules

__all__ = ["NAMES", "Cloud", "Fault", "Person", "Rules", "Snapshot"]
