"""Every reason to refuse, with its codes and sentence, and the details for the log."""

from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True)
class Refusal:
    """What one reason means to the caller and to the log.

    `code` is the HTTP status, `retryable` whether another try can help, `severity` the Cloud
    Logging severity, and `message` the fixed sentence that the caller reads.
    """

    code: int
    retryable: bool
    severity: str
    message: str

    @property
    def status(self) -> str:
        """The google.rpc.Code that the Firebase callable SDK reads."""
        return _STATUS[self.code]


_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "INVALID_ARGUMENT",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_NO, _YES = False, True  # retryable


class Reason(Enum):
    """Every reason to mint no token. The member's name is the word on the wire."""

    INVALID_REQUEST = Refusal(400, _NO, "INFO", "The request body is invalid.")
    NO_CREDENTIAL = Refusal(401, _NO, "INFO", "Send one ID token: Authorization: Bearer <token>.")
    INVALID_ID_TOKEN = Refusal(401, _NO, "NOTICE", "The ID token is not accepted.")
    ID_TOKEN_EXPIRED = Refusal(401, _YES, "INFO", "The ID token has expired. Refresh it.")
    APP_CHECK_FAILED = Refusal(401, _YES, "NOTICE", "The App Check token is not accepted.")
    ORIGIN_NOT_ALLOWED = Refusal(403, _NO, "NOTICE", "This origin is not allowed.")
    NOT_ALLOWED = Refusal(403, _NO, "NOTICE", "This account is not allowed to use this service.")
    UNKNOWN_PROFILE = Refusal(404, _NO, "NOTICE", "There is no profile of this name.")
    METHOD_NOT_ALLOWED = Refusal(405, _NO, "INFO", "Use POST.")
    BODY_TOO_LARGE = Refusal(413, _NO, "INFO", "The request body is over 8 KiB.")
    UNSUPPORTED_MEDIA_TYPE = Refusal(415, _NO, "INFO", "Send the body as application/json.")
    LIMIT_REACHED = Refusal(429, _YES, "NOTICE", "Rate limit reached. Try again later.")
    BUDGET_REACHED = Refusal(429, _YES, "NOTICE", "Time budget used up. Try again later.")
    AT_ONCE_REACHED = Refusal(429, _YES, "NOTICE", "Too many sessions at once. Try again later.")
    GEMINI_QUOTA = Refusal(429, _YES, "WARNING", "Gemini's quota is used up. Try again later.")
    GEMINI_REFUSED = Refusal(500, _NO, "ERROR", "Gemini refused this service's request.")
    INTERNAL = Refusal(500, _NO, "ERROR", "Internal error.")
    TOTAL_REACHED = Refusal(503, _YES, "ERROR", "This service is fully used. Try again later.")
    STOPPED = Refusal(503, _YES, "NOTICE", "This service is stopped. Try again later.")
    ACCOUNTS_UNAVAILABLE = Refusal(503, _YES, "ERROR", "Accounts cannot be checked right now.")
    KEYS_UNAVAILABLE = Refusal(503, _YES, "ERROR", "Sign-in cannot be checked right now.")
    GEMINI_UNAVAILABLE = Refusal(503, _YES, "WARNING", "Gemini is unavailable. Try again.")
    APP_CHECK_UNAVAILABLE = Refusal(503, _YES, "ERROR", "App Check is unavailable. Try again.")
    LIMITS_UNAVAILABLE = Refusal(503, _YES, "ERROR", "Rate limits are unavailable. Try again.")
    GEMINI_TIMEOUT = Refusal(504, _YES, "WARNING", "Gemini did not answer in time. Try again.")


class Detail(Enum):
    """Which check refused, for the log. The member's name is what is logged."""

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
    CHOICE_NOT_OFFERED = auto()
    # ID and App Check tokens
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
    TENANT = auto()
    # The account
    ACCOUNT_DISABLED = auto()
    ACCOUNT_DELETED = auto()
    SESSIONS_REVOKED = auto()
    NOT_AN_ACCOUNT = auto()
    # App Check
    NO_TOKEN = auto()
    APP_NOT_ACCEPTED = auto()
    ALREADY_USED = auto()
    NO_ACCESS_TOKEN = auto()
    NOT_A_VERDICT = auto()
    # The switch
    BANNED = auto()
    NOT_A_SWITCH = auto()
    # The policy
    ANONYMOUS = auto()
    CLAIM_NOT_ACCEPTED = auto()
    SIGNED_IN_TOO_LONG_AGO = auto()
    CLAIM_MISSING = auto()
    CLAIM_NOT_TEXT = auto()
    CLAIM_TOO_LONG = auto()
    CLAIM_CONTROL_CHARACTER = auto()
    # This instance
    TOO_MANY_UNDER_WAY = auto()
    OTHER_SERVER = auto()
    SHUT_DOWN = auto()
    # Upstream
    CONNECTION = auto()
    NO_ANSWER = auto()
    NOT_A_TOKEN = auto()
    STATUS = auto()
    KEY_INVALID = auto()
    KEY_RESTRICTED = auto()
    KEY_DENIED = auto()
    SUSPENDED = auto()
    API_DISABLED = auto()
    BILLING_DISABLED = auto()
    LOCATION_REFUSED = auto()
    FIELD_REFUSED = auto()
    QUOTA_PER_MINUTE = auto()
    QUOTA_PER_DAY = auto()
    ANSWER_TOO_LONG = auto()
    NOT_KEYS = auto()


class Refused(Exception):
    """No token is minted for this request.

    `retry_after` is in whole seconds; every 429 and 503 has one. `rule` is the path of the setting
    that refused, for the log. If Gemini was asked, `status` is the HTTP status of its answer,
    `seconds` how long it took, and `in_doubt` whether it may have minted a token that we never
    received.
    """

    def __init__(
        self,
        reason: Reason,
        detail: Detail | None = None,
        *,
        retry_after: int | None = None,
        rule: str | None = None,
        status: int | None = None,
        in_doubt: bool = False,
    ) -> None:
        super().__init__(reason.name)
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
        self.rule = rule
        self.status = status
        self.seconds: float | None = None
        self.in_doubt = in_doubt
