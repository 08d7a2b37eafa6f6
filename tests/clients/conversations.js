// What a test of livetoken.js does in a page: `talk` begins a conversation that it can look into.

import { Conversation, getToken, overWebSocket } from "/clients/web/livetoken.js";

/** @typedef {import("/clients/web/livetoken.js").LivetokenError} LivetokenError */
/** @typedef {import("/clients/web/livetoken.js").Session} Session */

/**
 * Where tokens come from. Of `idTokens` and `appCheckTokens` the first is the one that is at hand,
 * the last what a renewal brings.
 * @typedef {{ url: string, idTokens: string[], appCheckTokens?: string[], profile?: string }} Given
 */

/** Whether a renewal was asked for, each time that a token was. */
export const asked = {
  /** @type {boolean[]} */ idToken: [],
  /** @type {boolean[]} */ appCheckToken: [],
};

/** What came of the last `talk`. */
export const seen = {
  /** @type {string[]} */ states: [],
  /** @type {string[]} */ said: [],
  /** @type {Conversation | null} */ conversation: null,
  /** @type {Session | null} */ session: null,
};

/**
 * A token, or the error in its place.
 * @param {Given} given
 */
export const get = (given) =>
  getToken(sourceOf(given)).catch((/** @type {LivetokenError} */ error) => {
    const { name, reason, code, retryable, retryAfterSeconds } = error;
    return { error: { name, reason, code, retryable, retryAfterSeconds } };
  });

/**
 * Begins a conversation; unless `start` is false, it is open afterwards.
 * @param {Given} given
 */
export async function talk(given, { start = true } = {}) {
  const conversation = new Conversation(sourceOf(given), {
    onmessage: ({ goAway, serverContent: { outputTranscription, turnComplete } = {} }) => {
      if (goAway) seen.said.push("goAway");
      if (outputTranscription?.text) seen.said.push(outputTranscription.text);
      if (turnComplete) seen.said.push("turnComplete");
    },
    onstate: (state, error) => {
      const { reason } = /** @type {LivetokenError} */ (error ?? {});
      seen.states.push(reason ? `${state}: ${reason}` : state);
    },
    transport: async (token, events) => {
      seen.session = await overWebSocket()(token, events);
      return seen.session;
    },
  });
  Object.assign(seen, { states: [], said: [], conversation });
  if (start) await conversation.start();
}

/** @param {string} words */
export const say = (words) =>
  seen.conversation?.send({
    clientContent: { turns: [{ role: "user", parts: [{ text: words }] }], turnComplete: true },
  });

/**
 * @param {Given} given
 * @returns {import("/clients/web/livetoken.js").Source}
 */
function sourceOf({ url, idTokens, appCheckTokens, profile }) {
  /** @param {"idToken" | "appCheckToken"} name @param {string[]} tokens */
  const from = (name, tokens) => async (/** @type {boolean} */ refresh) => {
    asked[name].push(refresh);
    return tokens[refresh ? tokens.length - 1 : 0];
  };
  asked.idToken = [];
  asked.appCheckToken = [];
  return {
    url,
    profile,
    idToken: from("idToken", idTokens),
    appCheckToken: appCheckTokens && from("appCheckToken", appCheckTokens),
  };
}
