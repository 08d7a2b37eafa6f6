/**
 * Shows the transcript as turns: what the user said, then the answer, a line each.
 *
 * Gemini sends transcripts in pieces and in no promised order: the user's words come after the
 * answer has begun or after its end, and `turnComplete` comes early or not at all.
 */

import { find, make } from "./dom.js";

/** @typedef {import("/clients/web/livetoken.js").ServerMessage} ServerMessage */
/** @typedef {"You" | "Gemini"} Speaker */

const LATE = 2_000; // ms after the end of a turn in which more of its transcripts may come
const WORD = 300; // ms that the transcript of a word takes at least

const log = find("transcript", HTMLElement);

class Turn {
  /** @type {Partial<Record<Speaker, Text>>} The words of each line. */
  lines = {};
  isTyped = false; // the user's last words were written
  isAnswered = false; // an answer has begun
  isGenerated = false; // it has been sent as a whole
  isInterrupted = false;
  isOver = false; // what comes now is probably of the next turn
  isComplete = false; // `turnComplete` has come
  isLost = false; // with its connection: nothing more comes
  overAt = 0;
}

let turn = new Turn();
/** @type {Turn | null} The turn that the user has begun before the end of the current one. */
let next = null;
let spokeAt = 0; // when the user began to speak after the current turn; 0 if they have not

/** Clear the transcript. */
export function empty() {
  log.replaceChildren();
  turn = new Turn();
  next = null;
  spokeAt = 0;
}

/**
 * Add what the user has written.
 * @param {string} words
 */
export function wrote(words) {
  const to = turn.isAnswered || turn.isOver ? begin() : turn;
  add(to, "You", to.lines.You ? ` ${words}` : words);
  to.isTyped = true;
}

/** The user is speaking. */
export function spoke() {
  spokeAt ||= Date.now();
}

/**
 * Add a note by the page.
 * @param {string} text
 */
export function note(text) {
  append(remark(text));
}

/** Nothing more of the current turn comes: its connection has ended. */
export function lose() {
  if (turn.isAnswered) turn.isOver = turn.isLost = true;
}

/**
 * Add the text in a message from Gemini.
 * @param {ServerMessage} message
 */
export function take({ serverContent: content, sessionResumptionUpdate: update }) {
  if (content?.modelTurn) answers();
  if (content?.inputTranscription?.text) heard(content.inputTranscription.text);
  if (content?.outputTranscription?.text) answered(content.outputTranscription.text);
  if (content?.generationComplete) turn.isGenerated = true;
  if (content?.interrupted) interrupted();
  if (content?.turnComplete && content.interactionStatus !== "IN_PROGRESS") completed();
  if (update?.resumable && update.newHandle && turn.isGenerated && !turn.isOver) completed();
}

/** There is audio of an answer. */
function answers() {
  if ((turn.isOver || turn.isGenerated) && !isEarly()) advance();
  if (!turn.isAnswered) spokeAt = 0;
  turn.isAnswered = true;
}

/** @param {string} words */
function heard(words) {
  const to = turn.isOver && !isLate() ? begin() : turn;
  add(to, "You", to.isTyped && !/^\s/.test(words) ? ` ${words}` : words);
  to.isTyped = false;
}

/** @param {string} words */
function answered(words) {
  if (turn.isOver && !isEarly() && !isLate()) answers();
  turn.isAnswered = true;
  add(turn, "Gemini", words);
}

function interrupted() {
  if (turn.isAnswered && !turn.isInterrupted) {
    const line = turn.lines.Gemini?.parentElement;
    const text = remark("You interrupted.");
    if (line) line.after(text);
    else append(text);
  }
  turn.isInterrupted = true;
  end();
}

function completed() {
  if (turn.isComplete && next) advance(); // it got no answer
  turn.isComplete = true;
  if (!turn.isInterrupted) spokeAt = 0;
  end();
}

function end() {
  turn.isOver = true;
  turn.overAt = Date.now();
}

/** Whether `turnComplete` came before the end, so that the answer goes on after it. */
const isEarly = () =>
  turn.isAnswered &&
  !turn.isGenerated &&
  !turn.isInterrupted &&
  !turn.isLost &&
  !next &&
  spokeAt === 0;

/** Whether a transcript that comes now, after the end of the current turn, is still of that turn. */
function isLate() {
  const now = Date.now();
  const isNew = spokeAt > 0 && now - spokeAt > WORD;
  return !turn.isLost && !isNew && now - turn.overAt < LATE;
}

function begin() {
  next ??= new Turn();
  return next;
}

function advance() {
  turn = begin();
  next = null;
}

/**
 * @param {Turn} to
 * @param {Speaker} who
 * @param {string} words
 */
function add(to, who, words) {
  if (!to.lines[who]) {
    const text = document.createTextNode("");
    const line = make("p", make("b", `${who}: `), text);
    const answer = to.lines.Gemini?.parentElement;
    if (answer) answer.before(line);
    else append(line);
    to.lines[who] = text;
  }
  to.lines[who].data += words;
  log.scrollTop = log.scrollHeight;
}

/** @param {string} text */
function remark(text) {
  const made = make("p", text);
  made.className = "note";
  return made;
}

/** @param {HTMLElement} line */
function append(line) {
  log.append(line);
  log.scrollTop = log.scrollHeight;
}
