// Helpers for tests of livetoken.js in a page: `talk` starts a conversation and records it.

import { Conversation, getToken, overWebSocket } from "/clients/web/livetoken.js";

/** @typedef {import("/clients/web/livetoken.js").LivetokenError} LivetokenError */
/** @typedef {import("/clients/web/livetoken.js").Session} Session */

/**
 * The source of tokens. The first of `idTokens` and `appCheckTokens` is the current one, the last
 * the renewed one.
 * @typedef {{ url: string, idTokens: string[], appCheckTokens?: string[], profile?: string }} Given
 */

/** Whether each request for a token forced a new one. */
export const asked = {
  /** @type {boolean[]} */ idToken: [],
  /** @type {boolean[]} */ appCheckToken: [],
};

/** The record of the last `talk`. */
export const seen = {
  /** @type {string[]} */ states: [],
  /** @type {string[]} */ said: [],
  /** @type {Conversation | null} */ conversation: null,
  /** @type {Session | null} */ session: null,
};

/**
 * Get a token, or the error.
 * @param {Given} given
 */
export const get = (given) =>
  getToken(sourceOf(given)).catch((/** @type {LivetokenError} */ error) => {
    const { name, reason, code, retryable, retryAfterSeconds } = error;
    return { error: { name, reason, code, retryable, retryAfterSeconds } };
  });

/**
 * Create a conversation, and start it unless `start` is false.
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
