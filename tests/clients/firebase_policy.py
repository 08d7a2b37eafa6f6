"""The policy for the app with the Firebase SDK."""

PROFILE = """
[profiles.{name}]
model = "gemini-3.8-live"
{rule}
[profiles.{name}.config]
response_modalities = ["AUDIO"]
session_resumption = {{}}
"""
RULES = {"default": "", "pro": 'require = { plan = ["pro"] }', "rare": 'limit = "1/hour"'}


def policy(app_check: str = "off") -> str:
    """A profile for everybody, one for paying users, and one with a limit of once an hour."""
    callers = f'api_version = "v1alpha"\n[callers]\napp_check = "{app_check}"\n'
    return callers + "".join(PROFILE.format(name=name, rule=rule) for name, rule in RULES.items())
