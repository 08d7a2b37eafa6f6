"""Limits: the tokens, minutes and sessions at once that callers may have, counted in a storage."""
