"""The one vocabulary of refusals: reason, code, sentence, severity, and the details of the log."""

from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True)
class Refusal:
    """What one reason means to the caller and to the log.

    `code` is the HTTP status, `status` the word of google.rpc.Code that the Firebase callable SDK
    reads, `retryable` whether asking again can help, `severity` a Cloud Logging severity chosen by
    whose fault it is, `message` the fixed sentence that the caller reads.
    """

    code: int
    status: str
    retryable: bool
    severity: str
    message: str


class Reason(Enum):
    """Every reason for which no token is minted; the member's name is the word on the wire."""

    INVALID_REQUEST = Refusal(
        400, "INVALID_ARGUMENT", False, "INFO", "The request body is not what this function takes."
    )
    NO_CREDENTIAL = Refusal(
        401, "UNAUTHENTICATED", False, "INFO", "Send one ID token: Authorization: Bearer <token>."
    )
    INVALID_ID_TOKEN = Refusal(
        401, "UNAUTHENTICATED", False, "NOTICE", "The ID token is not one this function accepts."
    )
    ID_TOKEN_EXPIRED = Refusal(
        401, "UNAUTHENTICATED", True, "INFO", "The ID token has expired: refresh it and ask again."
    )
    APP_CHECK_FAILED = Refusal(
        401, "UNAUTHENTICATED", True, "NOTICE", "The App Check token is refused: get a fresh one."
    )
    ORIGIN_NOT_ALLOWED = Refusal(
        403, "PERMISSION_DENIED", False, "NOTICE", "This origin is not allowed."
    )
    NOT_ALLOWED = Refusal(403, "PERMISSION_DENIED", False, "NOTICE", "You may not have a token.")
    UNKNOWN_PROFILE = Refusal(404, "NOT_FOUND", False, "NOTICE", "There is no such profile.")
    METHOD_NOT_ALLOWED = Refusal(405, "INVALID_ARGUMENT", False, "INFO", "Use POST.")
    BODY_TOO_LARGE = Refusal(
        413, "INVALID_ARGUMENT", False, "INFO", "The request body is over 8 KiB."
    )
    UNSUPPORTED_MEDIA_TYPE = Refusal(
        415, "INVALID_ARGUMENT", False, "INFO", "Send the body as application/json."
    )
    LIMIT_REACHED = Refusal(
        429,
        "RESOURCE_EXHAUSTED",
        True,
        "NOTICE",
        "You have had your tokens for now: ask again later.",
    )
    GEMINI_QUOTA = Refusal(
        429, "RESOURCE_EXHAUSTED", True, "WARNING", "Gemini's quota is used up: ask again later."
    )
    GEMINI_REFUSED = Refusal(
        500, "INTERNAL", False, "ERROR", "Gemini refused this function's request."
    )
    INTERNAL = Refusal(500, "INTERNAL", False, "ERROR", "Something went wrong here.")
    KEYS_UNAVAILABLE = Refusal(
        503, "UNAVAILABLE", True, "ERROR", "Sign-in cannot be checked right now: ask again."
    )
    GEMINI_UNAVAILABLE = Refusal(
        503, "UNAVAILABLE", True, "WARNING", "Gemini is not available right now: ask again."
    )
    APP_CHECK_UNAVAILABLE = Refusal(
        503, "UNAVAILABLE", True, "ERROR", "App Check cannot be asked right now: ask again."
    )
    LIMITS_UNAVAILABLE = Refusal(
        503, "UNAVAILABLE", True, "ERROR", "Limits cannot be counted right now: ask again."
    )
    GEMINI_TIMEOUT = Refusal(
        504, "DEADLINE_EXCEEDED", True, "WARNING", "Gemini did not answer in time: ask again."
    )


class Detail(Enum):
    """What the log says beyond the reason, which check it was: the member's name, nobody's text."""

    # The request
    BODY_LATE = auto()
    CALLER_LEFT = auto()
    HEADER_TWICE = auto()
    NOT_AN_ORIGIN = auto()
    NOT_BEARER = auto()
    NOT_JSON = auto()
    NOT_AN_OBJECT = auto()
    UNKNOWN_FIELD = auto()
    WRONG_TYPE = auto()
    NOT_A_HANDLE = auto()
    NO_RESUMPTION = auto()
    # The ID token
    TOKEN_TOO_LONG = auto()
    TOKEN_MALFORMED = auto()
    SIGNATURE_REMOVED_BY_GOOGLE = auto()
    ALGORITHM = auto()
    CRITICAL_HEADER = auto()
    TOKEN_TYPE = auto()
    KEY_ID = auto()
    UNKNOWN_KEY = auto()
    SIGNATURE = auto()
    ISSUER = auto()
    AUDIENCE = auto()
    AUTHORIZED_PARTY = auto()
    ISSUED_AT = auto()
    NOT_BEFORE = auto()
    EXPIRY = auto()
    AUTH_TIME = auto()
    SUBJECT = auto()
    SIGN_IN_PROVIDER = auto()
    # App Check
    NO_TOKEN = auto()
    ALREADY_USED = auto()
    NO_ACCESS_TOKEN = auto()
    NOT_A_VERDICT = auto()
    # The policy
    ANONYMOUS = auto()
    CLAIM_NOT_ACCEPTED = auto()
    SIGNED_IN_TOO_LONG_AGO = auto()
    CLAIM_MISSING = auto()
    CLAIM_NOT_TEXT = auto()
    CLAIM_TOO_LONG = auto()
    CLAIM_CONTROL_CHARACTER = auto()
    # Upstream, and the end
    CONNECTION = auto()
    NO_ANSWER = auto()
    NOT_A_TOKEN = auto()
    STATUS = auto()
    ANSWER_TOO_LONG = auto()
    NOT_KEYS = auto()
    SHUT_DOWN = auto()


class Refused(Exception):
    """No token is minted for this request.

    `retry_after` is in whole seconds; reasons answered with 429 or 503 have one. `rule` is the path
    of the setting in the policy that refused, for the log alone.
    """

    def __init__(
        self,
        reason: Reason,
        detail: Detail | None = None,
        *,
        retry_after: int | None = None,
        rule: str | None = None,
    ) -> None:
        super().__init__(reason.name)
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
        self.rule = rule
