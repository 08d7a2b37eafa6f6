"""What the tables of the docs say of reasons, variables and warnings beside their names."""

from livetoken import gemini, request, safety_identifier, settings, under_way
from livetoken.limits import storages

WHEN = {
    "INVALID_REQUEST": "the body is not JSON, is not an object, has a name twice, an unknown field,"
    " a wrong type, a choice that the profile does not offer or a `resume` that is malformed or not"
    f" allowed by the profile, or did not arrive whole within {request.BODY_TIMEOUT:.0f} s",
    "NO_CREDENTIAL": "no `Authorization` header, or not exactly one `Bearer` token in it",
    "INVALID_ID_TOKEN": "malformed, over 8 KiB, bad signature, unknown key, wrong issuer, audience"
    " or claims; with `revoked`, its sign-in was revoked or its account deleted",
    "ID_TOKEN_EXPIRED": "genuine, but past its `exp`: refresh it and ask again",
    "APP_CHECK_FAILED": "the App Check token is missing, invalid, expired, already used, or of an"
    " app that is not accepted: get a fresh one",
    "ORIGIN_NOT_ALLOWED": "the `Origin` header names an origin that `ALLOWED_ORIGINS` does not"
    " allow",
    "NOT_ALLOWED": "a rule of the policy refuses this caller, the owner has banned the account, or,"
    " with `revoked`, the account is disabled",
    "UNKNOWN_PROFILE": "the policy has no profile of that name",
    "METHOD_NOT_ALLOWED": "the method is not `POST`",
    "BODY_TOO_LARGE": f"the body is over {request.MAX_BODY // 1024} KiB",
    "UNSUPPORTED_MEDIA_TYPE": "the body is not declared as `application/json`",
    "LIMIT_REACHED": "this caller reached their limit for the profile, or has"
    f" {under_way.MAX_UNDER_WAY} requests under way",
    "BUDGET_REACHED": "this caller's minutes for the profile are used up",
    "AT_ONCE_REACHED": "this caller has as many sessions at once as the profile allows",
    "GEMINI_QUOTA": "your project's Gemini quota is used up, for a minute or for the day",
    "GEMINI_REFUSED": "Gemini refused the key, its project, the location or the policy; logged as"
    " an error",
    "INTERNAL": "an unexpected error",
    "TOTAL_REACHED": "a limit, a budget or the sessions at once of all callers together are used"
    " up",
    "STOPPED": "the owner has stopped all minting, or the switch cannot be read",
    "ACCOUNTS_UNAVAILABLE": "Firebase cannot be asked whether the user is disabled or signed out",
    "KEYS_UNAVAILABLE": "the issuer's signing keys cannot be fetched",
    "GEMINI_UNAVAILABLE": "Gemini cannot be reached, answers 408, 409, 425, 499 or 5xx, or answers"
    " something that is not a token",
    "APP_CHECK_UNAVAILABLE": "App Check's keys or its single-use check cannot be reached",
    "LIMITS_UNAVAILABLE": "the limits' storage is down; nothing is minted",
    "GEMINI_TIMEOUT": f"Gemini did not answer within {gemini.DEADLINE:.0f} s",
}
"""When each reason is given."""

VARIABLES = {
    "GEMINI_API_KEY": ("the key that mints; never logged, never returned", "required"),
    "FIREBASE_PROJECT_ID": (
        "project ids, comma-separated, whose Firebase ID tokens are accepted",
        "none",
    ),
    "GOOGLE_CLIENT_IDS": (
        "OAuth client ids, comma-separated, accepted as `aud` of Google ID tokens",
        "none",
    ),
    "FIREBASE_PROJECT_NUMBER": ("the issuer of App Check tokens", "required with App Check"),
    "ALLOWED_ORIGINS": (
        "[browser origins](#allowed-origins), comma-separated: exact, or with one `*` inside the"
        " first label of the host (`https://app--*.web.app`); a lone `*` means any",
        "none",
    ),
    "POLICY_FILE": ("the policy", "`policy.toml`"),
    "LIMITS_STORAGE": (
        "where limits, budgets and sessions at once are counted: `async+memory://` in each instance"
        " separately, or `async+firestore://PROJECT/DATABASE`, `async+redis://…` or"
        " `async+rediss://…` for all instances together",
        f"`{storages.IN_MEMORY}`",
    ),
    "SAFETY_IDENTIFIER_KEY": (
        "the secret that hashes a caller's account for Gemini, at least"
        f" {safety_identifier.LEAST_KEY} characters; never logged, never returned",
        "required with `safety_identifier`",
    ),
    "SWITCH_OBJECT": (
        "[the switch](#stop-minting-and-ban-accounts) that stops all minting and bans callers: an"
        " object of Cloud Storage, `gs://BUCKET/OBJECT`",
        "none",
    ),
    "SWITCH_UNREADABLE": (
        "what happens while the switch cannot be read: `keep` the last known state, or `refuse`",
        "`keep`",
    ),
    "GOOGLE_GEMINI_BASE_URL": ("where to mint", f"`{settings.GEMINI}`"),
    "FIREBASE_KEYS_URL": ("Firebase's signing keys", "Google's"),
    "GOOGLE_KEYS_URL": ("Google's signing keys", "Google's"),
    "APP_CHECK_BASE_URL": (
        "App Check: its keys are at `/v1/jwks`, its single-use check beside",
        f"`{settings.APP_CHECK}`",
    ),
    "IDENTITY_TOOLKIT_BASE_URL": (
        "Identity Toolkit, which knows whether a Firebase user is disabled or signed out",
        f"`{settings.IDENTITY_TOOLKIT}`",
    ),
    "STORAGE_BASE_URL": ("where the switch is read", f"`{settings.STORAGE}`"),
    "FIRESTORE_BASE_URL": ("Firestore, if limits count there", f"`{settings.FIRESTORE}`"),
    "GOOGLE_CLOUD_PROJECT": ("whose traces the log links to", "the first Firebase project"),
}
"""What each variable means, and its default."""

REMEDIES = {
    "MODEL_GONE": "use another model",
    "MODEL_LEGACY": "plan the change to another model",
    "MODEL_NOT_LIVE": "use the name of a Live model",
    "MODEL_UNKNOWN": "check the spelling, and test the profile with a session before a release",
    "NOT_SUPPORTED": "remove it, or use a model that supports it",
    "VOICE_UNKNOWN": "check the spelling; the names are in Google's guide to speech generation",
    "TEXT_MODALITY": 'write `["AUDIO"]`, and get text with `output_audio_transcription = {}`',
    "NO_INSTRUCTION": "say what the model is for and what it must not talk about",
    "INSTRUCTION_FILE": "write the text of the file here",
    "OPEN_INSTRUCTION": "lock the instruction, or give the profile to few people and a small limit",
    "OPEN_TOOLS": "list the tools in `config`, or give the profile to few people and a small limit",
    "SELF_CHOSEN_CLAIM": "set a custom claim and name that, or keep `max_length` very small",
    "UNUSED_CLAIM": "remove the claim, or name it in the instruction",
    "NO_COMPRESSION": "add compression, or set `expires_in` to at most 15 minutes",
    "COMPRESSION_OFF": "write `{ sliding_window = {} }`",
    "TARGET_TOO_LARGE": "make it smaller than `trigger_tokens`, or leave it out",
    "SHORT_START": "set `start_within` to 10 seconds or more",
    "NO_RESUMPTION": "add resumption, or set `expires_in` to at most 10 minutes",
    "NO_LIMIT": "add a `limit`",
    "LONG_SLICE": "set `expires_in` to a few minutes, add `session_resumption`, and use a client"
    " that resumes, such as livetoken.js",
    "LIMIT_OF_NOBODY": "refuse anonymous accounts, or require App Check",
    "IDLE_LIMIT": "give the longer time more tokens than the shorter, or remove one of the two",
    "UNVERIFIED_EMAIL": "add `email_verified = [true]` to the rules",
    "CAPITALS": "write the address in lower case",
    "VALUE_IS_PATTERN": "list the accepted values",
    "CLAIM_ELSEWHERE": "name the claim where the token has it",
    "NOBODY_PASSES": "remove or change one of the rules",
    "ANONYMOUS_EXCLUDED": "remove `allow_anonymous`, or the rule",
    "OPEN_PROFILE_TOO": "leave it if that is meant; otherwise give the other profile a rule that"
    " these callers do not pass",
    "TWO_DOORS": "accept one of the two issuers in the environment, or require a claim that only"
    " one has",
    "REPLACES_DEFAULT": "write the whole field in the profile",
    "TWO_PROJECTS": "list the apps of the project in `FIREBASE_PROJECT_ID` only",
    "NAMED_DEFAULTS": "write `[defaults]` for what profiles share, or choose another name",
    "NO_DEFAULT": "name one profile `default`, or leave it if every app names its profile",
}
"""What to do about each warning."""
