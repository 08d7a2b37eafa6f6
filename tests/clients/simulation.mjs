// An app and its user in virtual time, as a program that ten_hours.py controls.

import { Conversation } from "../../clients/web/livetoken.js";
import { note, numbers, run, wait } from "./virtual.mjs";

/** @typedef {import("../../clients/web/livetoken.js").ClientMessage} ClientMessage */
/** @typedef {import("../../clients/web/livetoken.js").ServerMessage} ServerMessage */
/** @typedef {import("../../clients/web/livetoken.js").Lost} Lost */

const RATE = 8_000;
const FRAME = 100; // ms
const mimeType = `audio/pcm;rate=${RATE}`;
const samples = (RATE * FRAME) / 1_000;
const frame = (/** @type {number} */ value) => ({
  realtimeInput: {
    audio: {
      data: Buffer.from(new Int16Array(samples).fill(value).buffer).toString("base64"),
      mimeType,
    },
  },
});
const LOUD = frame(9_000);
const QUIET = frame(0);
const PICTURE = { realtimeInput: { video: { data: "AAAA", mimeType: "image/jpeg" } } };

/** @type {Conversation} */
let conversation;
let random = () => 0;
let count = 0; // of what the user and the app said

/** @param {number} from @param {number} to */
const between = (from, to) => from + random() * (to - from);

/** A name of a message of the app. @param {ClientMessage} message */
function nameOf({ realtimeInput, toolResponse }) {
  const { text, ...other } = realtimeInput ?? {};
  const [response] = toolResponse?.functionResponses ?? [];
  return text ?? response?.response?.said ?? Object.keys(other).join();
}

/** @param {ServerMessage} message */
function heard({ serverContent: content, toolCall, toolCallCancellation, ...other }) {
  const text = content?.outputTranscription?.text;
  if (text) note({ kind: "told", text });
  if (content?.interrupted) note({ kind: "interrupted" });
  if (content?.turnComplete)
    note({ kind: "over", thinks: content.interactionStatus === "IN_PROGRESS" });
  if (other.sessionResumptionUpdate?.newHandle) note({ kind: "handle" });
  if (other.goAway) note({ kind: "goAway" });
  for (const { id = "" } of toolCall?.functionCalls ?? []) {
    note({ kind: "call", id });
    respond(id);
  }
  if (toolCallCancellation) note({ kind: "cancelled", ids: toolCallCancellation.ids });
}

/** Answer a call, or do not. @param {string} id */
async function respond(id) {
  if (random() < 0.1) return;
  await wait(random() < 0.7 ? between(50, 2_000) : between(2_000, 20_000));
  const said = `response-${++count}`;
  if (conversation.state === "closed") return;
  note({ kind: "said", name: said, call: id });
  const functionResponses = [{ id, name: "look", response: { said } }];
  conversation.send({ toolResponse: { functionResponses } });
}

function write() {
  const text = `question-${++count}`;
  note({ kind: "said", name: text });
  conversation.send({ realtimeInput: { text } });
}

/** Say something, of a length that no other utterance has for a while. */
async function speak() {
  const frames = 3 + (++count % 12);
  note({ kind: "said", name: ((frames * FRAME) / 1_000).toFixed(1), speech: frames * FRAME });
  for (let n = 0; n < frames; n++) {
    conversation.send(LOUD);
    await wait(FRAME);
  }
  if (random() < 0.5) return conversation.send({ realtimeInput: { audioStreamEnd: true } });
  for (let n = 0; n < 12; n++) {
    conversation.send(QUIET);
    await wait(FRAME);
  }
}

async function film() {
  for (let left = between(5, 30); left > 0; left--) {
    conversation.send(PICTURE);
    await wait(1_000);
  }
}

/** Talk for some time. @param {{ until: number, pause: number }} how In milliseconds. */
async function talk({ until, pause }) {
  const began = performance.now();
  while (performance.now() - began < until) {
    const kind = random();
    if (kind < 0.55) write();
    else if (kind < 0.95) await speak();
    else await film();
    await wait(random() < 0.2 ? between(0, 4_000) : between(0.1, 1.9) * pause);
  }
}

await run({
  begin({ seed, user, url }) {
    random = numbers(seed + 1);
    const source = { url, idToken: async () => "an ID token" };
    conversation = new Conversation(source, {
      onmessage: heard,
      onstate: (state, error) =>
        note({ kind: "state", state, reason: error && `${error.name}: ${error.message}` }),
      onlost: ({ messages, ...lost }) =>
        note({ kind: "lost", ...lost, messages: messages.map(nameOf) }),
    });
    conversation.start().then(
      () => talk(user).catch((error) => note({ kind: "stopped", reason: `${error}` })),
      (error) => note({ kind: "stopped", reason: `${error}` }),
    );
  },
  hangUp() {
    conversation.close();
  },
});
