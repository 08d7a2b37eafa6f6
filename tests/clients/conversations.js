// Helpers for tests of livetoken.js in a page: `talk` starts a conversation and records it.

import { Conversation, getToken, overWebSocket } from "/clients/web/livetoken.js";

/** @typedef {import("/clients/web/livetoken.js").LivetokenError} LivetokenError */
/** @typedef {import("/clients/web/livetoken.js").Session} Session */

/**
 * The source of tokens. The first of `idTokens` and `appCheckTokens` is the current one, the last
 * the renewed one.
 * @typedef {{ url: string, idTokens: string[], appCheckTokens?: string[], profile?: string,
 *   choices?: Record<string, string> }} Given
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
  /** @type {import("/clients/web/livetoken.js").Lost[]} */ lost: [],
  /** @type {number[]} When a session was tried, in ms. */ tried: [],
  /** @type {Conversation | null} */ conversation: null,
  /** @type {Session | null} */ session: null,
};

let isAnswering = false;

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
    onmessage: (message) => {
      const { goAway, sessionResumptionUpdate, toolCall, toolCallCancellation } = message;
      const { outputTranscription, turnComplete } = message.serverContent ?? {};
      if (outputTranscription?.text) hear(outputTranscription.text);
      if (turnComplete) note("turnComplete");
      if (goAway) note("goAway");
      for (const { id } of toolCall?.functionCalls ?? []) note(`call ${id}`);
      for (const id of toolCallCancellation?.ids ?? []) note(`cancel ${id}`);
      if (sessionResumptionUpdate?.newHandle) note("handle");
    },
    onlost: (lost) => seen.lost.push(lost),
    onstate: (state, error) => {
      isAnswering = false;
      const { reason } = /** @type {LivetokenError} */ (error ?? {});
      seen.states.push(reason ? `${state}: ${reason}` : state);
    },
    transport: async (token, events) => {
      seen.tried.push(performance.now());
      seen.session = await overWebSocket()(token, events);
      return seen.session;
    },
  });
  Object.assign(seen, { states: [], said: [], lost: [], tried: [], conversation });
  if (start) await conversation.start();
}

/**
 * Add a piece of a transcript to the piece before it.
 * @param {string} piece
 */
function hear(piece) {
  if (isAnswering) seen.said[seen.said.length - 1] += piece;
  else seen.said.push(piece);
  isAnswering = true;
}

/** @param {string} what */
function note(what) {
  isAnswering = false;
  seen.said.push(what);
}

/** @param {import("/clients/web/livetoken.js").ClientMessage} message */
export const send = (message) => seen.conversation?.send(message);

/** @param {string} text */
export const say = (text) => send({ realtimeInput: { text } });

/**
 * From now on each socket gets these messages after its setup, and may close then.
 * @param {object[]} messages
 * @param {boolean} closes
 */
export function geminiSays(messages, closes) {
  class Socket {
    static OPEN = 1;
    readyState = Socket.OPEN;
    onopen = () => {};
    onmessage = (/** @type {{ data: string }} */ _) => {};
    onclose = (/** @type {{ code: number, reason: string }} */ _) => {};
    constructor() {
      setTimeout(() => this.onopen(), 10);
    }
    /** @param {string} message */
    send(message) {
      if (!("setup" in JSON.parse(message))) return;
      this.onmessage({ data: JSON.stringify({ setupComplete: {} }) });
      setTimeout(() => {
        for (const each of messages) this.onmessage({ data: JSON.stringify(each) });
        if (closes) this.close(1011);
      }, 10);
    }
    close(code = 1000) {
      if (this.readyState === Socket.OPEN) this.onclose({ code, reason: "" });
      this.readyState = 3;
    }
  }
  Object.assign(window, { WebSocket: Socket });
}

/**
 * @param {Given} given
 * @returns {import("/clients/web/livetoken.js").Source}
 */
function sourceOf({ url, idTokens, appCheckTokens, profile, choices }) {
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
    choices,
    idToken: from("idToken", idTokens),
    appCheckToken: appCheckTokens && from("appCheckToken", appCheckTokens),
  };
}
