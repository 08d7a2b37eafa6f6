/** The page: sign in, get a token, and talk. */

import { getToken, LivetokenError, overWebSocket } from "/clients/web/livetoken.js";
import { find, make } from "./dom.js";
import * as problem from "./problem.js";
import { Talk } from "./talk.js";
import * as card from "./token-card.js";

/**
 * What the page's server says about the function, the test users and the profiles.
 * @typedef {object} Setup
 * @property {string} functionUrl
 * @property {{ name: string, about: string }[]} people
 * @property {Record<string, card.Profile>} profiles
 * @property {string | null} defaultProfile
 */

/** @typedef {import("/clients/web/livetoken.js").Source} Source */
/** @typedef {import("/clients/web/livetoken.js").Token} Token */

const SIGNED_OUT = "";

const button = {
  get: find("get", HTMLButtonElement),
  again: find("again", HTMLButtonElement),
  talk: find("talk", HTMLButtonElement),
  listen: find("listen", HTMLButtonElement),
  mute: find("mute", HTMLButtonElement),
  cut: find("cut", HTMLButtonElement),
  send: find("send", HTMLButtonElement),
};
const text = find("text", HTMLInputElement);
const status = find("state", HTMLElement);
const outcome = find("again-outcome", HTMLElement);
const narrow = matchMedia("(max-width: 47.99rem)");

/**
 * A token that the user has got.
 * @typedef {object} Held
 * @property {Token} token
 * @property {Source} source Where it comes from.
 * @property {string} person Whose it is.
 * @property {"unused" | "used" | "refused"} state
 */

/** @type {Held | null} */
let held = null;
/** @type {Talk | null} */
let talk = null;
let isAsking = false;

const setup = await getSetup().catch((error) => {
  status.textContent = "The page cannot start.";
  problem.show(error);
});
if (setup) begin(setup);

/** @param {Setup} setup */
function begin({ functionUrl, people, profiles, defaultProfile }) {
  offer("people", "person", [
    ...people.map(({ name, about }) => ({ value: name, title: name, about })),
    { value: SIGNED_OUT, title: "signed out", about: "no ID token" },
  ]);
  offer(
    "profiles",
    "profile",
    Object.entries(profiles).map(([name, profile]) => ({
      value: name,
      title: name,
      about: `${profile.model}; ${card.isResumable(profile) ? "can resume" : "cannot resume"}`,
    })),
    defaultProfile,
  );
  const form = find("ask", HTMLFormElement);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { person, profile } = Object.fromEntries(new FormData(form));
    ask(String(person), {
      url: functionUrl,
      idToken: async () => (person === SIGNED_OUT ? null : fetchText(`issuer/token/${person}`)),
      appCheckToken: () => fetchText("app-check/token"),
      profile: String(profile),
    });
  });
  find("write", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    write();
  });
  button.talk.addEventListener("click", () => {
    if (talk) talk.stop();
    else startTalk()?.startWithMicrophone(usable);
    show();
  });
  button.listen.addEventListener("click", () => {
    problem.clear();
    talk?.listen().catch((error) => problem.show(error));
  });
  button.mute.addEventListener("click", () => talk?.mute());
  button.cut.addEventListener("click", () => talk?.cut());
  button.again.addEventListener("click", useAgain);
  card.begin(profiles, show);
  narrow.addEventListener("change", fit);
  fit();
  show();
}

/**
 * @param {string} person
 * @param {Source} source
 */
async function ask(person, source) {
  problem.clear();
  held = null; // it may be another user's
  card.clear();
  outcome.textContent = "";
  isAsking = true;
  show();
  try {
    const asked = Date.now();
    const token = await getToken(source);
    held = { token, source, person, state: "unused" };
    card.show(token, person, asked);
  } catch (error) {
    problem.show(error);
  }
  isAsking = false;
  show();
  (held ? button.talk : button.get).focus({ preventScroll: true });
  if (held && narrow.matches) find("talking", HTMLElement).scrollIntoView();
}

/** Prepare a conversation with the token. */
function startTalk() {
  if (!held) return null;
  problem.clear();
  const started = new Talk(held.source, { onchange: () => follow(started), onend: ended });
  talk = started;
  return started;
}

/** @param {Talk} started */
function follow({ token }) {
  if (held && token) {
    if (token !== held.token) card.show(token, held.person);
    Object.assign(held, { token, state: "used" });
    card.start();
  }
  show();
}

/** @param {Error} [error] */
function ended(error) {
  const hasBegun = talk?.token != null;
  talk = null;
  const { reason, code } = /** @type {LivetokenError} */ (error ?? {});
  const isRefused = reason === "SESSION_REFUSED" && code !== 1006; // 1006: perhaps not even asked
  if (held && !hasBegun && isRefused) held.state = "refused";
  show();
  (usable() ? button.talk : button.get).focus({ preventScroll: true });
  if (error) problem.show(error, hasBegun);
}

function write() {
  const words = text.value.trim();
  if (!words) return;
  text.value = "";
  if (!talk) startTalk()?.start(usable());
  talk?.write(words);
}

/** The token, if it can start a session. */
function usable() {
  return held?.state === "unused" && !card.isLate() ? held.token : undefined;
}

async function useAgain() {
  if (!held) return;
  outcome.textContent = "Trying…";
  try {
    const opened = await overWebSocket()(held.token, { onmessage: () => {}, onclose: () => {} });
    opened.close();
    outcome.textContent = "A second session opened. This must never happen.";
  } catch (error) {
    const { code, message } = /** @type {LivetokenError} */ (error);
    outcome.textContent =
      code === 1006
        ? "Gemini did not answer. Check your connection and try again."
        : `Gemini refused it, as expected, with ${code}: ${message}`;
  }
}

/** Show what there is and what can be done. */
function show() {
  const canStart = usable() !== undefined;
  const hadFocus = document.activeElement === button.talk;
  const words = talk ? talk.status : statusWithoutTalk();
  if (status.textContent !== words) status.textContent = words; // it is announced once
  button.get.disabled = isAsking || talk !== null;
  button.again.disabled = !held || held.state === "unused";
  button.talk.textContent = talk ? "Stop" : "Talk";
  button.talk.disabled = !talk && !canStart;
  if (hadFocus && button.talk.disabled) button.get.focus({ preventScroll: true });
  button.listen.hidden = !talk?.isOpen || talk.isListening;
  button.mute.hidden = !button.listen.hidden;
  button.mute.disabled = !talk?.isListening;
  button.mute.ariaPressed = String(talk?.isMuted ?? false);
  button.cut.disabled = !talk?.isOpen;
  text.disabled = button.send.disabled = talk ? !talk.hasStarted : !canStart;
}

function statusWithoutTalk() {
  if (isAsking) return "Getting a token…";
  if (!held) return "Get a token first.";
  if (held.state === "used") return "Ended. Get a new token to talk again.";
  if (held.state === "refused") return "This token starts no session. Get a new one.";
  if (card.isLate()) return "It is too late to start a session with this token. Get a new one.";
  return `Ready for ${held.person}. Press Talk, or write.`;
}

/** On a narrow screen the token and the conversation fit together. */
function fit() {
  find("details", HTMLDetailsElement).open = !narrow.matches;
}

/** @returns {Promise<Setup>} */
async function getSetup() {
  try {
    const answer = await fetch("setup.json");
    if (answer.ok) return await answer.json();
    throw new Error(`setup.json: ${answer.status}`);
  } catch (cause) {
    throw Object.assign(new Error("No setup.", { cause }), { name: "SetupError" });
  }
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
