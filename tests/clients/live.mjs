// A client of Gemini Live in JavaScript, with one session at a time.

/**
 * @typedef {{name: string, model: string, apiVersion: string, webSocketUrl: string}} Token
 *   the function's answer
 * @typedef {import("@google/genai").LiveConnectConfig} Config
 * @typedef {import("@google/genai").LiveServerMessage} Message
 * @typedef {Pick<import("@google/genai").LiveCallbacks, "onmessage" | "onclose">} Callbacks
 * @typedef {Pick<import("@google/genai").Session, "sendRealtimeInput" | "close">} Session
 * @typedef {(token: Token, model: string, config: Config, callbacks: Callbacks)
 *   => Promise<Session>} Connect
 */

/**
 * The steps of such a client.
 *
 * @param {Connect} connect opens a session; may reject or never settle if it is refused
 * @returns {import("./steps.mjs").Steps}
 */
export function live(connect) {
  /** @type {Message[]} */
  let unread = [];
  /** @type {Promise<{code: number, reason: string}>} */
  let closed;
  /** @type {Session} */
  let session;
  let wake = () => {};

  /** Wait for the next message. */
  async function next() {
    while (unread.length === 0) {
      const more = new Promise((resolve) => {
        wake = () => resolve(undefined);
      });
      const end = await Promise.race([more, closed]);
      if (end && unread.length === 0) throw new Error(`closed with ${JSON.stringify(end)}`);
    }
    return /** @type {Message} */ (unread.shift());
  }

  /** Receive a whole answer and its handle, which comes after it. */
  async function hear() {
    const heard = { audio: /** @type {string[]} */ ([]), words: "", handle: "" };
    for (;;) {
      const { serverContent, sessionResumptionUpdate: update } = await next();
      for (const part of serverContent?.modelTurn?.parts ?? [])
        heard.audio.push(part.inlineData?.data ?? "");
      heard.words += serverContent?.outputTranscription?.text ?? "";
      if (update?.resumable && update.newHandle) return { ...heard, handle: update.newHandle };
    }
  }

  return {
    /** @param {{token: Token, model?: string, config: Config}} asked */
    async open({ token, model, config }) {
      /** @type {Message[]} */
      const arrived = [];
      unread = arrived;
      const onmessage = (/** @type {Message} */ message) => {
        arrived.push(message);
        wake();
      };
      let onclose = (/** @type {CloseEvent} */ _) => {};
      closed = new Promise((resolve) => {
        onclose = ({ code, reason }) => resolve({ code, reason });
      });
      const callbacks = { onmessage, onclose };
      let rejected = "";
      const connected = connect(token, model ?? token.model, config, callbacks).catch((error) => {
        rejected = error.message;
      });
      const opened = await Promise.race([connected, closed.then(() => undefined)]);
      if (opened) {
        session = opened;
        return {};
      }
      const refused = await closed;
      await new Promise((resolve) => setTimeout(resolve)); // it has rejected by now, or never does
      return { refused, rejected };
    },

    /** @param {{text: string}} asked */
    async say({ text }) {
      session.sendRealtimeInput({ text });
      return await hear();
    },

    /** Send a text, and wait for no answer. @param {{text: string}} asked */
    async write({ text }) {
      session.sendRealtimeInput({ text });
      return {};
    },

    /** @param {{chunks: string[]}} asked */
    async speak({ chunks }) {
      for (const data of chunks)
        session.sendRealtimeInput({ audio: { data, mimeType: "audio/pcm;rate=16000" } });
      return await hear();
    },

    async warned() {
      for (;;) {
        const { goAway } = await next();
        if (goAway) return goAway;
      }
    },

    async ended() {
      return await closed;
    },

    async close() {
      session.close();
      return await closed;
    },
  };
}
