"""The policy that the app with the Firebase SDK meets."""

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
    """Everybody's profile, one of those who pay, and one that is had once an hour."""
    callers = f'api_version = "v1alpha"\n[callers]\napp_check = "{app_check}"\n'
    return callers + "".join(PROFILE.format(name=name, rule=rule) for name, rule in RULES.items())
