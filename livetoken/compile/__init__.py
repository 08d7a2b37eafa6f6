"""The policy compiler: `policy.toml` to the lock, by google-genai and pydantic.

The function imports it only when its lock is stale. The commands always do.
"""
