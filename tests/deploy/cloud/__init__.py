"""A stand-in of Google Cloud's control plane and of Cloud Run on loopback, for real gcloud.

It keeps state and enforces IAM roles, enabled APIs, etags, checksums and name conflicts. It starts
the code of each revision. Each module names the sources of its rules and marks guesses; `roles`
lists the permissions of each role.
"""

from cloud.cloud import NAMES, Cloud, Snapshot
from cloud.rules import Fault, Person, Rules

__all__ = ["NAMES", "Cloud", "Fault", "Person", "Rules", "Snapshot"]
