/** What the page says about an error, and what the user can do. */

/** @typedef {{ says: string, todo: string }} Advice */

/**
 * By the reason of a `LivetokenError`: those of livetoken, then those of livetoken.js.
 * @type {Record<string, Advice>}
 */
const BY_REASON = {
  INVALID_REQUEST: {
    says: "This page sent livetoken an invalid request.",
    todo: "Tell the developers: the request is JSON with “profile” and “resume” only, and “resume” needs a profile with session_resumption.",
  },
  NO_CREDENTIAL: {
    says: "You are not signed in.",
    todo: "Sign in and try again.",
  },
  INVALID_ID_TOKEN: {
    says: "livetoken does not accept your sign-in.",
    todo: "Sign out and in again. If that does not help, tell the developers: the ID token is invalid or from another project.",
  },
  ID_TOKEN_EXPIRED: {
    says: "Your sign-in has expired.",
    todo: "Sign in again. This page has already tried with a new ID token.",
  },
  APP_CHECK_FAILED: {
    says: "livetoken could not verify this app.",
    todo: "Reload the page. It has already tried with a new App Check token.",
  },
  ORIGIN_NOT_ALLOWED: {
    says: "livetoken does not accept requests from this web address.",
    todo: "Tell the developers: add this page’s origin to ALLOWED_ORIGINS.",
  },
  NOT_ALLOWED: {
    says: "Your account is not allowed to use this profile.",
    todo: "Choose another profile or another account. A newly granted claim works after the next sign-in.",
  },
  UNKNOWN_PROFILE: {
    says: "This profile does not exist.",
    todo: "The policy has changed: reload the page and choose another profile.",
  },
  METHOD_NOT_ALLOWED: {
    says: "This page used the wrong HTTP method.",
    todo: "Tell the developers: livetoken accepts only POST.",
  },
  BODY_TOO_LARGE: {
    says: "This page sent too much data.",
    todo: "Tell the developers: the limit of a request body is 8 KiB.",
  },
  UNSUPPORTED_MEDIA_TYPE: {
    says: "This page sent data that is not JSON.",
    todo: "Tell the developers: the Content-Type must be application/json.",
  },
  LIMIT_REACHED: {
    says: "You have reached your rate limit.",
    todo: "Try again later.",
  },
  BUDGET_REACHED: {
    says: "You have used up your time.",
    todo: "Try again later.",
  },
  AT_ONCE_REACHED: {
    says: "You have too many conversations at once.",
    todo: "Try again when another one has ended.",
  },
  GEMINI_QUOTA: {
    says: "Gemini’s quota for this app is used up.",
    todo: "Try again later.",
  },
  GEMINI_REFUSED: {
    says: "Gemini rejected livetoken’s request.",
    todo: "Tell the operators: the log says whether it is the API key, the billing, the region or the policy.",
  },
  INTERNAL: {
    says: "An unexpected error occurred in livetoken.",
    todo: "Tell the operators: the log says where.",
  },
  TOTAL_REACHED: {
    says: "livetoken is fully used.",
    todo: "Try again later. Operators: a total of the policy is used up.",
  },
  STOPPED: {
    says: "livetoken is stopped.",
    todo: "Try again later. Operators: deploy/deploy.sh start.",
  },
  ACCOUNTS_UNAVAILABLE: {
    says: "Your account cannot be checked right now.",
    todo: "Try again in a moment.",
  },
  KEYS_UNAVAILABLE: {
    says: "Your sign-in cannot be verified right now.",
    todo: "Try again in a moment.",
  },
  GEMINI_UNAVAILABLE: {
    says: "Gemini is not available right now.",
    todo: "Try again in a moment.",
  },
  APP_CHECK_UNAVAILABLE: {
    says: "This app cannot be verified right now.",
    todo: "Try again in a moment.",
  },
  LIMITS_UNAVAILABLE: {
    says: "livetoken cannot check rate limits right now.",
    todo: "Try again in a moment.",
  },
  GEMINI_TIMEOUT: {
    says: "Gemini did not answer in time.",
    todo: "Try again.",
  },
  UNREACHABLE: {
    says: "livetoken cannot be reached.",
    todo: "Check your connection and try again. Developers: it looks the same if livetoken does not allow this origin.",
  },
  SESSION_REFUSED: {
    says: "Gemini did not open a session with this token.",
    todo: "Get a new token: each opens one session, and only for a short time. If that does not help, the account may have too many sessions.",
  },
  SESSION_ENDED: {
    says: "The session has ended and cannot be resumed.",
    todo: "Get a new token to start again. Only profiles with session_resumption can resume, and only while Gemini keeps sessions open.",
  },
};

/**
 * By the reason and the close code, if a code has its own explanation.
 * @type {Record<string, Advice>}
 */
const BY_CODE = {
  "SESSION_REFUSED 1006": {
    says: "Gemini cannot be reached.",
    todo: "Check your network and try again. If that does not help, the account may have too many sessions.",
  },
  "SESSION_REFUSED 1007": {
    says: "Gemini does not accept the setup of this session.",
    todo: "Tell the developers: Gemini’s reason is below.",
  },
  "SESSION_ENDED 1007": {
    says: "Gemini ended the session because of a message of this page.",
    todo: "Get a new token to start again. Developers: Gemini’s reason is below.",
  },
};

/** @type {Advice} Gemini opens no session for a conversation that has begun. */
const NOT_RESUMED = {
  says: "Gemini did not resume the conversation.",
  todo: "Get a new token to start again.",
};

/**
 * By the name of another error.
 * @type {Record<string, Advice>}
 */
const BY_NAME = {
  NotAllowedError: {
    says: "This page is not allowed to use the microphone.",
    todo: "Allow it in the browser’s settings and try again. You can also write.",
  },
  NotFoundError: {
    says: "No microphone was found.",
    todo: "Connect one and try again. You can also write.",
  },
  NotReadableError: {
    says: "The microphone cannot be used.",
    todo: "Another app may be using it. Try again, or write.",
  },
  SetupError: {
    says: "The server of this page did not send its settings.",
    todo: "Check that make run is still running and prints no error, and reload this page.",
  },
};

/** @type {Advice} */
const UNEXPECTED = {
  says: "An unexpected error occurred on this page.",
  todo: "Reload it. The browser’s console has details.",
};

/**
 * Explain an error.
 * @param {Error & { reason?: string, code?: number, retryAfterSeconds?: number }} error
 * @param {boolean} hasBegun Whether a conversation had begun.
 * @returns {Advice}
 */
export function explain({ name, reason = "", code, retryAfterSeconds }, hasBegun) {
  const known =
    BY_CODE[`${reason} ${code}`] ??
    (hasBegun && reason === "SESSION_REFUSED" ? NOT_RESUMED : BY_REASON[reason]) ??
    BY_NAME[name] ??
    UNEXPECTED;
  const todo = retryAfterSeconds ? `Try again ${inTime(retryAfterSeconds)}.` : known.todo;
  return { says: known.says, todo };
}

/**
 * Describe what was lost with a connection; empty if nothing was.
 * @param {import("/clients/web/livetoken.js").Lost} lost
 */
export function describe({ forgot, messages, audio }) {
  const texts = messages.flatMap(({ realtimeInput }) => realtimeInput?.text ?? []);
  return [
    forgot === "everything" && "Gemini has forgotten this conversation.",
    forgot === "last" && "Gemini has forgotten the last part of this conversation.",
    texts.length && `Gemini did not answer ${texts.map((text) => `“${text}”`).join(", ")}.`,
    audio && `Gemini did not answer ${(audio / 1000).toFixed(1)} seconds of your speech.`,
  ]
    .filter(Boolean)
    .join(" ");
}

/** @param {number} seconds */
function inTime(seconds) {
  const [count, unit] = seconds < 90 ? [seconds, "second"] : [Math.ceil(seconds / 60), "minute"];
  return `in ${count} ${unit}${count === 1 ? "" : "s"}`;
}
