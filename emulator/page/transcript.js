/** What was said, as text: a line for each time that somebody speaks. */

import { find, make } from "./dom.js";

/** @typedef {import("/clients/web/livetoken.js").ServerMessage} ServerMessage */

const log = find("transcript", HTMLElement);
/** @type {{ who: string, words: Text } | null} */
let line = null;

/** Begins anew. */
export function empty() {
  log.replaceChildren();
  line = null;
}

/**
 * Adds what somebody said, to the line under way if it is theirs.
 * @param {string} who
 * @param {string} words
 */
export function add(who, words) {
  if (line?.who !== who) {
    line = { who, words: document.createTextNode("") };
    log.append(make("p", make("b", `${who}: `), line.words));
  }
  line.words.data += words;
  log.scrollTop = log.scrollHeight;
}

/**
 * Adds a remark of the page's own.
 * @param {string} text
 */
export function note(text) {
  line = null;
  const remark = make("p", text);
  remark.className = "note";
  log.append(remark);
  log.scrollTop = log.scrollHeight;
}

/**
 * Adds what a message of Gemini's says in words.
 * @param {ServerMessage} message
 */
export function take({ serverContent }) {
  const { inputTranscription, outputTranscription, interrupted, turnComplete } =
    serverContent ?? {};
  if (inputTranscription?.text) add("You", inputTranscription.text);
  if (outputTranscription?.text) add("Gemini", outputTranscription.text);
  if (interrupted) note("You interrupted.");
  if (turnComplete) line = null;
}
