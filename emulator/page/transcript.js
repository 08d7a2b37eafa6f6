/** Shows the transcript, with a line for each turn of a speaker. */

import { find, make } from "./dom.js";

/** @typedef {import("/clients/web/livetoken.js").ServerMessage} ServerMessage */

const log = find("transcript", HTMLElement);
/** @type {{ who: string, words: Text } | null} */
let line = null;

/** Clear the transcript. */
export function empty() {
  log.replaceChildren();
  line = null;
}

/**
 * Add what a speaker said, to the current line if it is theirs.
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
 * Add a note by the page.
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
 * Add the text in a message from Gemini.
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
