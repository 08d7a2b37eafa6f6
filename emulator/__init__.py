"""Stand-ins for Google on this machine: Gemini Live, ID tokens, App Check, the metadata server.

Nothing here is deployed or imported by the function. Everything listens on 127.0.0.1 only.
"""
