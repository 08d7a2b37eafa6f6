"""The embedded stand-ins: Gemini Live, an issuer of ID tokens, and the server that carries them.

Nothing here is deployed, nothing here is imported by the function, and everything listens on the
loopback address alone.
"""
