"""livetoken: verify a caller, decide by a policy, mint one constrained Gemini Live token."""
