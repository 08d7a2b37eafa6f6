"""The policy compiler: `policy.toml` to the lock. The function imports it only for a stale lock."""
