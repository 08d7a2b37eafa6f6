"""Gives Gemini a keyed hash of the caller's account, so that Google can tell callers apart.

Google takes the identifier as the label `safety_identifier` of a session's setup. A label has at
most 63 characters: lower-case letters, digits, underscores and dashes.
"""

import hashlib
import hmac

from livetoken.caller import Caller

LENGTH = 40
"""Hexadecimal digits of an identifier: 160 bits, so that no two callers share one."""

LEAST_KEY = 32
"""Characters of the key. An identifier made with a short one could be traced back by trying."""


class SafetyIdentifiers:
    """Makes identifiers.

    Args:
        key: the secret of the deployment, or None if the policy does not ask for identifiers.
    """

    def __init__(self, key: str | None) -> None:
        self._key = None if key is None else key.encode()

    def of(self, caller: Caller) -> str | None:
        """Return the caller's identifier. All their sessions have it, and no other caller's."""
        if self._key is None:
            return None
        text = caller.account.text.encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:LENGTH]
