/** The page: sign in, get a token, and talk. */

import { Conversation, getToken, LivetokenError, overWebSocket } from "/clients/web/livetoken.js";
import { listen } from "/clients/web/microphone.js";
import { Speaker } from "/clients/web/speaker.js";
import { find, make } from "./dom.js";
import { explain } from "./errors.js";
import * as card from "./token-card.js";
import * as transcript from "./transcript.js";

/**
 * What the page's server says about the function, the test users and the profiles.
 * @typedef {object} Setup
 * @property {string} functionUrl
 * @property {{ name: string, about: string }[]} people
 * @property {Record<string, card.Profile>} profiles
 * @property {string | null} defaultProfile
 */

/** @typedef {import("/clients/web/livetoken.js").Session} Session */
/** @typedef {import("/clients/web/livetoken.js").Source} Source */
/** @typedef {import("/clients/web/livetoken.js").State} State */
/** @typedef {import("/clients/web/livetoken.js").Token} Token */

const SIGNED_OUT = "";

const button = {
  get: find("get", HTMLButtonElement),
  again: find("again", HTMLButtonElement),
  talk: find("talk", HTMLButtonElement),
  mute: find("mute", HTMLButtonElement),
  cut: find("cut", HTMLButtonElement),
  send: find("send", HTMLButtonElement),
};
const text = find("text", HTMLInputElement);
const level = find("level", HTMLMeterElement);
const problem = find("problem", HTMLElement);
const status = find("state", HTMLElement);

/** @type {Setup} */
const setup = await (await fetch("setup.json")).json();
/** @type {Token | null} */
let token = null;
/** @type {Source | null} The source of that token. */
let source = null;
let isUsed = false;
/** @type {Conversation | null} */
let conversation = null;
/** @type {Session | null} The current session of the conversation. */
let session = null;
/** @type {Speaker | null} */
let speaker = null;
let isAsking = false;
let isListening = false;

offer("people", "person", [
  ...setup.people.map(({ name, about }) => ({ value: name, title: name, about })),
  { value: SIGNED_OUT, title: "signed out", about: "no ID token" },
]);
offer(
  "profiles",
  "profile",
  Object.entries(setup.profiles).map(([name, profile]) => ({
    value: name,
    title: name,
    about: `${profile.model}; ${card.isResumable(profile) ? "can resume" : "cannot resume"}`,
  })),
  setup.defaultProfile,
);
find("ask", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
find("write", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  write();
});
button.talk.addEventListener("click", () => (conversation ? conversation.close() : talk()));
button.mute.addEventListener("click", mute);
button.cut.addEventListener("click", () => session?.close());
button.again.addEventListener("click", useAgain);
enable();

async function ask() {
  clearProblem();
  const { person, profile } = Object.fromEntries(new FormData(find("ask", HTMLFormElement)));
  const asking = {
    url: setup.functionUrl,
    idToken: async () => (person === SIGNED_OUT ? null : fetchText(`issuer/token/${person}`)),
    appCheckToken: () => fetchText("app-check/token"),
    profile: String(profile),
  };
  isAsking = true;
  enable();
  try {
    token = await getToken(asking);
    source = asking;
    isUsed = false;
    find("again-outcome", HTMLElement).textContent = "";
    card.show(token, setup.profiles[token.profile]);
    status.textContent = "Ready. Press Talk.";
  } catch (error) {
    showError(error);
  }
  isAsking = false;
  enable();
  (token && !isUsed ? button.talk : button.get).focus();
}

async function talk() {
  if (!source || !token) return;
  clearProblem();
  transcript.empty();
  speaker = new Speaker();
  const held = new Conversation(source, {
    onmessage: take,
    onstate: follow,
    transport: async (token, events) => {
      session = await overWebSocket()(token, events);
      return session;
    },
  });
  conversation = held;
  enable();
  try {
    await held.start(token);
    await listen(hear, held.signal);
    isListening = conversation === held;
  } catch (error) {
    if (conversation === held) showError(error); // otherwise `closed` has shown it
  }
  enable();
}

/** @param {import("/clients/web/livetoken.js").ServerMessage} message */
function take(message) {
  transcript.take(message);
  if (message.serverContent?.interrupted) speaker?.clear();
  for (const { inlineData } of message.serverContent?.modelTurn?.parts ?? []) {
    if (inlineData?.data && inlineData.mimeType?.startsWith("audio/pcm")) {
      speaker?.play(inlineData.data);
    }
  }
}

/**
 * @param {{ data: string, mimeType: string }} audio
 * @param {number} peak
 */
function hear(audio, peak) {
  level.value = peak;
  level.textContent = peak < 0.02 ? "silent" : "heard";
  if (button.mute.ariaPressed === "false") conversation?.send({ realtimeInput: { audio } });
}

/**
 * @param {State} state
 * @param {Error} [error]
 */
function follow(state, error) {
  if (state === "connecting") status.textContent = "Connecting…";
  if (state === "resuming") {
    status.textContent = navigator.onLine
      ? "Resuming with a new token…"
      : "You are offline. The conversation resumes when you are back online.";
  }
  if (state === "open") opened();
  if (state === "closed") closed(error);
  enable();
}

function opened() {
  isUsed = true;
  const next = conversation?.token;
  if (next && next !== token) {
    token = next;
    card.show(next, setup.profiles[next.profile]);
    transcript.note("Resumed with a new token.");
  }
  card.start();
  status.textContent = "Connected. Speak or write.";
}

/** @param {Error} [error] */
function closed(error) {
  conversation = session = null;
  isListening = false;
  level.value = 0;
  level.textContent = "silent";
  button.mute.ariaPressed = "false";
  speaker?.close();
  speaker = null;
  status.textContent = "Ended. Get a new token to talk again.";
  enable();
  button.get.focus();
  if (error) showError(error);
}

function write() {
  const words = text.value.trim();
  if (!words || !conversation) return;
  speaker?.clear();
  transcript.add("You", words);
  const turns = [{ role: "user", parts: [{ text: words }] }];
  conversation.send({ clientContent: { turns, turnComplete: true } });
  text.value = "";
}

function mute() {
  const muted = button.mute.ariaPressed !== "true";
  button.mute.ariaPressed = String(muted);
  if (muted) conversation?.send({ realtimeInput: { audioStreamEnd: true } });
}

async function useAgain() {
  if (!token) return;
  const outcome = find("again-outcome", HTMLElement);
  outcome.textContent = "Trying…";
  try {
    const opened = await overWebSocket()(token, { onmessage: () => {}, onclose: () => {} });
    opened.close();
    outcome.textContent = "A second session opened. This must never happen.";
  } catch (error) {
    const { code, message } = /** @type {import("/clients/web/livetoken.js").LivetokenError} */ (
      error
    );
    outcome.textContent =
      code === 1006
        ? "Gemini did not answer. Check your connection and try again."
        : `Gemini refused it, as expected, with ${code}: ${message}`;
  }
}

function enable() {
  const isOpen = conversation?.state === "open";
  button.get.disabled = isAsking || conversation !== null;
  button.again.disabled = !token || !isUsed;
  button.talk.textContent = conversation ? "Stop" : "Talk";
  button.talk.disabled = isAsking || (!conversation && (!token || isUsed));
  button.mute.disabled = !isListening;
  button.cut.disabled = !isOpen;
  text.disabled = button.send.disabled = !conversation || conversation.state === "connecting";
}

/** @param {unknown} error */
function showError(error) {
  const { says, todo } = explain(/** @type {Error} */ (error));
  const { reason, name, message } = /** @type {Error & { reason?: string }} */ (error);
  const detail = reason?.startsWith("SESSION") ? `${reason}: ${message}` : (reason ?? name);
  problem.replaceChildren(
    make("p", make("strong", says), ` ${todo}`),
    make("p", make("code", detail)),
  );
  problem.scrollIntoView({ block: "nearest" });
  if (!reason) console.error(error);
}

function clearProblem() {
  problem.replaceChildren();
}

/** @param {string} url */
async function fetchText(url) {
  const answer = await fetch(url).catch((cause) => {
    const details = { retryable: true, cause };
    throw new LivetokenError("UNREACHABLE", "The issuer cannot be reached.", details);
  });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  return answer.text();
}

/**
 * @param {string} id
 * @param {string} name
 * @param {{ value: string, title: string, about: string }[]} choices
 * @param {string | null} [chosen] The first if left out.
 */
function offer(id, name, choices, chosen) {
  choices.forEach(({ value, title, about }, index) => {
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name, value });
    input.checked = chosen ? value === chosen : index === 0;
    const label = make("label", input, title, make("small", about));
    label.className = "choice";
    find(id, HTMLElement).append(label);
  });
}
