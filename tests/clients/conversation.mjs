// An app that uses livetoken.js, with one conversation at a time.

import { Conversation } from "../../clients/web/livetoken.js";

/** @typedef {import("../../clients/web/livetoken.js").LivetokenError} LivetokenError */
/** @typedef {import("../../clients/web/livetoken.js").Session} Session */
/** @typedef {import("../../clients/web/livetoken.js").Source} Source */

/**
 * The steps of such an app.
 *
 * @param {import("../../clients/web/livetoken.js").Transport} transport
 * @returns {import("./steps.mjs").Steps}
 */
export function conversation(transport) {
  /** @type {Conversation} */
  let held;
  /** @type {Source} */
  let source;
  /** @type {Session} */
  let session;
  let audio = "";
  let words = "";
  let changed = () => {};

  /** @param {() => boolean} isTrue */
  async function until(isTrue) {
    while (!isTrue())
      await new Promise((resolve) => {
        changed = () => resolve(undefined);
      });
  }

  return {
    /** @param {{url: string, idToken: string}} asked */
    async start({ url, idToken }) {
      source = { url, idToken: async () => idToken };
      held = new Conversation(source, {
        onmessage: ({ serverContent, sessionResumptionUpdate }) => {
          for (const { inlineData } of serverContent?.modelTurn?.parts ?? [])
            audio += inlineData?.data ?? "";
          words += serverContent?.outputTranscription?.text ?? "";
          if (sessionResumptionUpdate?.newHandle) words += "."; // it comes after the turn
          changed();
        },
        onstate: () => changed(),
        transport: async (token, events) => {
          session = await transport(token, events);
          return session;
        },
      });
      await held.start();
      return {};
    },

    /** @param {{text: string}} asked */
    async say({ text }) {
      audio = words = "";
      held.send({ realtimeInput: { text } });
      await until(() => words.endsWith("."));
      return { heard: words, sounded: audio !== "" };
    },

    /** Write a turn in two messages, the first of which leaves it open. */
    async sayInTwo() {
      words = "";
      const turn = (/** @type {string} */ text) => [{ role: "user", parts: [{ text }] }];
      held.send({ clientContent: { turns: turn("first") } });
      held.send({ clientContent: { turns: turn("second"), turnComplete: true } });
      await until(() => words.endsWith("."));
      return { heard: words };
    },

    /** Send audio as a microphone does. @param {{data: string}} asked */
    async speak({ data }) {
      audio = words = "";
      held.send({ realtimeInput: { audio: { data, mimeType: "audio/pcm;rate=16000" } } });
      held.send({ realtimeInput: { audioStreamEnd: true } });
      await until(() => words.endsWith("."));
      return { heard: words };
    },

    /** Lose the connection, and wait for the next one. */
    async reconnect() {
      const before = held.token;
      session.close();
      await until(() => held.state === "open" && held.token !== before);
      return {};
    },

    /** Use the token a second time. */
    async again() {
      const second = new Conversation(source, { onmessage: () => {}, transport });
      const { token } = held;
      if (!token) throw new Error("the conversation has no token yet");
      return await second.start(token).then(
        () => ({ opened: true }),
        ({ reason, code, message }) => ({ reason, code, message }),
      );
    },

    async close() {
      held.close();
      return {};
    },
  };
}
