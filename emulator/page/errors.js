/** What a person reads when something goes wrong, and what they can do about it. */

/** @typedef {{ says: string, todo: string }} Advice */

/**
 * By the reason of a `LivetokenError`. The first twenty are livetoken's table of errors.
 * @type {Record<string, Advice>}
 */
const BY_REASON = {
  INVALID_REQUEST: {
    says: "livetoken did not understand what this page asked for.",
    todo: "Tell the developers: the request must be JSON with “profile” and “resume” alone, and “resume” works only where the profile has session_resumption.",
  },
  NO_CREDENTIAL: {
    says: "Nobody is signed in.",
    todo: "Sign in, and ask again.",
  },
  INVALID_ID_TOKEN: {
    says: "Your sign-in is not one that livetoken accepts.",
    todo: "Sign out and in again. If that does not help, tell the developers: the ID token is of another project, or no ID token.",
  },
  ID_TOKEN_EXPIRED: {
    says: "Your sign-in has expired.",
    todo: "Sign in again. This page had renewed the ID token once already.",
  },
  APP_CHECK_FAILED: {
    says: "livetoken could not tell that this is the genuine app.",
    todo: "Load the page again. This page had asked with a fresh App Check token already.",
  },
  ORIGIN_NOT_ALLOWED: {
    says: "This web address may not ask livetoken for tokens.",
    todo: "Tell the developers: this page’s origin is missing in ALLOWED_ORIGINS.",
  },
  NOT_ALLOWED: {
    says: "You may not have a token for this.",
    todo: "Choose another profile, or sign in as somebody whom the policy allows. A claim that has just been granted counts after the next sign-in.",
  },
  UNKNOWN_PROFILE: {
    says: "There is no such profile.",
    todo: "Choose another. The policy has changed since this page was loaded: load it again.",
  },
  METHOD_NOT_ALLOWED: {
    says: "livetoken was asked in the wrong way.",
    todo: "Tell the developers: it takes POST alone.",
  },
  BODY_TOO_LARGE: {
    says: "This page sent livetoken too much.",
    todo: "Tell the developers: a request may have 8 KiB.",
  },
  UNSUPPORTED_MEDIA_TYPE: {
    says: "This page sent livetoken something other than JSON.",
    todo: "Tell the developers: the Content-Type must be application/json.",
  },
  LIMIT_REACHED: {
    says: "You have had as many tokens as you may for now.",
    todo: "Wait, and ask again.",
  },
  GEMINI_QUOTA: {
    says: "Too many people are talking to Gemini right now.",
    todo: "Wait, and ask again.",
  },
  GEMINI_REFUSED: {
    says: "Gemini refused livetoken itself.",
    todo: "Tell whoever runs livetoken: its key, its billing or its policy needs mending, and its log says which.",
  },
  INTERNAL: {
    says: "Something went wrong in livetoken.",
    todo: "Tell whoever runs it: its log says what and where.",
  },
  KEYS_UNAVAILABLE: {
    says: "Your sign-in cannot be checked right now.",
    todo: "Wait a little, and ask again.",
  },
  GEMINI_UNAVAILABLE: {
    says: "Gemini is not available right now.",
    todo: "Wait a little, and ask again.",
  },
  APP_CHECK_UNAVAILABLE: {
    says: "This app cannot be checked right now.",
    todo: "Wait a little, and ask again.",
  },
  LIMITS_UNAVAILABLE: {
    says: "livetoken cannot count tokens right now, and gives none meanwhile.",
    todo: "Wait a little, and ask again.",
  },
  GEMINI_TIMEOUT: {
    says: "Gemini did not answer in time.",
    todo: "Ask again.",
  },
  UNREACHABLE: {
    says: "livetoken cannot be reached.",
    todo: "Look whether you are online, and ask again. Developers: a browser says the same where an answer has no CORS headers for this origin.",
  },
  SESSION_REFUSED: {
    says: "Gemini opened no session with this token.",
    todo: "Get a new one: a token opens one session, within its time. If you were offline, press Talk again.",
  },
  SESSION_ENDED: {
    says: "The session has ended, and cannot be resumed.",
    todo: "Get a new token and begin again. Sessions go on from their first answer, where the profile locks session_resumption.",
  },
};

/**
 * Errors of the browser, by their name.
 * @type {Record<string, Advice>}
 */
const BY_NAME = {
  NotAllowedError: {
    says: "The microphone may not be used.",
    todo: "Allow it in the browser’s settings for this page. You can write meanwhile.",
  },
  NotFoundError: {
    says: "There is no microphone.",
    todo: "Connect one and press Talk again. You can write meanwhile.",
  },
};

/** @type {Advice} */
const UNFORESEEN = {
  says: "Something went wrong on this page.",
  todo: "Load it again. The browser’s console has more.",
};

/**
 * What to say of an error.
 * @param {Error & { reason?: string, retryAfterSeconds?: number }} error
 * @returns {Advice}
 */
export function explain({ name, reason, retryAfterSeconds }) {
  const known = (reason && BY_REASON[reason]) || BY_NAME[name] || UNFORESEEN;
  const todo = retryAfterSeconds ? `Ask again ${inTime(retryAfterSeconds)}.` : known.todo;
  return { says: known.says, todo };
}

/** @param {number} seconds */
function inTime(seconds) {
  const [count, unit] = seconds < 90 ? [seconds, "second"] : [Math.ceil(seconds / 60), "minute"];
  return `in ${count} ${unit}${count === 1 ? "" : "s"}`;
}
