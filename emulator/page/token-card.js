/** Shows what a token allows and how long it is valid. */

import { find, make } from "./dom.js";

/** @typedef {import("/clients/web/livetoken.js").Token} Token */

/**
 * The part of `python -m livetoken check --json` about a profile that the page shows.
 * @typedef {object} Profile
 * @property {string} model
 * @property {{ amount: number, seconds: number }[]} limits
 * @property {number} start_within_seconds
 * @property {number} expires_in_seconds
 * @property {string[]} open
 * @property {{ field: string, value: unknown }[]} locked
 */

const allows = find("allows", HTMLElement);
const clocks = {
  start: clock("start"),
  end: clock("end"),
};
/** @type {Record<string, Profile>} */
let profiles = {};
/** @type {() => void} */
let onlate = () => {};
/**
 * The times are on this device's clock, which may be wrong.
 * @type {{ profile: Profile, startBy: number, endBy: number, isStarted: boolean } | null}
 */
let shown = null;

setInterval(tick, 250);

/**
 * Prepare for tokens of these profiles.
 * @param {Record<string, Profile>} all
 * @param {() => void} late Called when a token can no longer start a session.
 */
export function begin(all, late) {
  profiles = all;
  onlate = late;
}

/**
 * Show a token.
 * @param {Token} token
 * @param {string} person Whose it is.
 * @param {number} [asked] When it was asked for; now if left out.
 */
export function show(token, person, asked = Date.now()) {
  const profile = profiles[token.profile];
  shown = {
    profile,
    startBy: asked + profile.start_within_seconds * 1000,
    endBy: asked + profile.expires_in_seconds * 1000,
    isStarted: false,
  };
  reveal(true);
  const rows = {
    Name: `${token.name.slice(0, 24)}…`,
    User: person,
    Profile: token.profile,
    Model: `${token.model}, ${token.apiVersion}`,
    Sessions: "one",
    "Can resume": isResumable(profile) ? "yes, with a new token" : "no",
    "You may set": profile.open.join(", ") || "nothing",
    Locked: profile.locked.map(({ field }) => field).join(", "),
    "Rate limit": profile.limits.map(inWords).join(", ") || "none",
  };
  allows.replaceChildren(
    ...Object.entries(rows).flatMap(([name, value]) => [make("dt", name), make("dd", value)]),
  );
  tick();
}

/** Show that there is no token. */
export function clear() {
  shown = null;
  reveal(false);
}

/** Show that the token's session has started. */
export function start() {
  if (shown) shown.isStarted = true;
  tick();
}

/** Whether the token can no longer start a session. */
export const isLate = () => shown !== null && Date.now() >= shown.startBy;

/**
 * Whether a conversation can resume after its connection has ended.
 * @param {Profile} profile
 */
export const isResumable = ({ locked }) =>
  locked.some(({ field }) => field === "session_resumption");

function tick() {
  if (!shown) return;
  const { profile, startBy, endBy, isStarted } = shown;
  const begins = isStarted ? 0 : (startBy - Date.now()) / 1000;
  const ends = (endBy - Date.now()) / 1000;
  clocks.start(begins, profile.start_within_seconds, isStarted ? "started" : "too late");
  clocks.end(ends, profile.expires_in_seconds, "over");
  if (begins <= 0 && !isStarted) onlate();
}

/** @param {boolean} hasToken */
function reveal(hasToken) {
  find("no-token", HTMLElement).hidden = hasToken;
  find("has-token", HTMLElement).hidden = !hasToken;
}

/** @param {"start" | "end"} name */
function clock(name) {
  const face = find(`${name}-clock`, HTMLElement);
  const left = find(`${name}-left`, HTMLMeterElement);
  /**
   * @param {number} seconds Seconds left.
   * @param {number} whole Seconds at the start.
   * @param {string} after What to show when none are left.
   */
  return (seconds, whole, after) => {
    face.textContent = seconds > 0 ? minutes(Math.ceil(seconds)) : after;
    left.value = Math.max(0, seconds / whole);
  };
}

/** @param {number} seconds */
function minutes(seconds) {
  const [hours, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const padded = [rest, seconds % 60].map((number) => String(number).padStart(2, "0"));
  return [...(hours ? [hours] : []), ...padded].join(":");
}

/** @param {{ amount: number, seconds: number }} limit */
function inWords({ amount, seconds }) {
  const units = { day: 86_400, hour: 3_600, minute: 60, second: 1 };
  for (const [unit, length] of Object.entries(units)) {
    const count = seconds / length;
    if (Number.isInteger(count)) return `${amount} in ${count} ${unit}${count === 1 ? "" : "s"}`;
  }
  return `${amount} in ${seconds} seconds`;
}
