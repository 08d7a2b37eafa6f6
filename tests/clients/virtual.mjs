// A browser's clock, timers, window and network for one program, in virtual time.
//
// Another program reads what this one sends, and says how far time goes: each line of standard
// input is `{until, events}`, each answer `{now, out, log, left}`.

import { readSync, writeSync } from "node:fs";

/** @typedef {{ kind: string, [field: string]: any }} Entry */
/** @typedef {{ at: number, every?: number, callback: () => void, isOurs?: boolean }} Timer */
/** @typedef {{ type: string, listener: () => void }} Listening */

const EPOCH = Date.UTC(2026, 11, 1);
const immediate = setImmediate;

let now = 0; // milliseconds since the start
let timerCount = 0;
/** @type {Map<number, Timer>} */
const timers = new Map();
/** @type {Set<Listening>} */
const listenings = new Set();
/** @type {Map<number, VirtualWebSocket>} */
const sockets = new Map();
/** @type {Map<number, { resolve: (response: any) => void, reject: (error: Error) => void }>} */
const fetches = new Map();
/** @type {Entry[]} */
let out = [];
/** @type {Entry[]} */
let log = [];

/** Record what happened. @param {Entry} entry */
export const note = (entry) => log.push({ ...entry, at: now });

/** Wait, by a timer that is not counted. @param {number} milliseconds @returns {Promise<void>} */
export const wait = (milliseconds) =>
  new Promise((callback) => {
    timers.set(++timerCount, { at: now + milliseconds, callback, isOurs: true });
  });

/** Numbers from 0 to 1 (mulberry32). @param {number} seed */
export function numbers(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class VirtualWebSocket {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSING = 2;
  static CLOSED = 3;
  static count = 0;
  readyState = VirtualWebSocket.CONNECTING;
  binaryType = "blob";
  onopen = () => {};
  /** @type {(event: { data: string }) => void} */
  onmessage = () => {};
  /** @type {(event: { code: number, reason: string }) => void} */
  onclose = () => {};
  #id = ++VirtualWebSocket.count;

  /** @param {string} url */
  constructor(url) {
    sockets.set(this.#id, this);
    out.push({ kind: "connect", id: this.#id, url });
  }

  /** @param {string} data */
  send(data) {
    if (this.readyState === VirtualWebSocket.CONNECTING) throw new Error("It is not open.");
    if (this.readyState === VirtualWebSocket.OPEN) out.push({ kind: "send", id: this.#id, data });
  }

  close(code = 1005) {
    if (this.readyState >= VirtualWebSocket.CLOSING) return;
    this.readyState = VirtualWebSocket.CLOSING;
    out.push({ kind: "close", id: this.#id, code });
  }

  /** Whether the program has not closed it. */
  get isOpen() {
    return this.readyState < VirtualWebSocket.CLOSING;
  }

  /** What the network brings. @param {Entry} event */
  take({ kind, data, code, reason }) {
    if (kind === "open" && this.readyState === VirtualWebSocket.CONNECTING) {
      this.readyState = VirtualWebSocket.OPEN;
      this.onopen();
    }
    if (kind === "message" && this.readyState === VirtualWebSocket.OPEN) this.onmessage({ data });
    if (kind === "closed") {
      this.readyState = VirtualWebSocket.CLOSED;
      sockets.delete(this.#id);
      this.onclose({ code, reason });
    }
  }
}

/** @param {() => void} callback */
function once(callback, delay = 0) {
  timers.set(++timerCount, { at: now + delay, callback });
  return timerCount;
}

/** @param {() => void} callback @param {number} every */
function repeatedly(callback, every) {
  timers.set(++timerCount, { at: now + every, every, callback });
  return timerCount;
}

/** @param {number} id */
const clear = (id) => void timers.delete(id);

/** @param {number} seed Of `Math.random`. */
function install(seed) {
  const random = numbers(seed);
  Date.now = () => EPOCH + now;
  performance.now = () => now;
  Math.random = random;
  Object.assign(globalThis, {
    setTimeout: once,
    setInterval: repeatedly,
    clearTimeout: clear,
    clearInterval: clear,
    WebSocket: VirtualWebSocket,
    /** @param {string} url @param {{ body: string, signal?: AbortSignal }} options */
    fetch: (url, { body, signal }) =>
      new Promise((resolve, reject) => {
        const id = ++timerCount;
        fetches.set(id, { resolve, reject });
        signal?.addEventListener("abort", () => {
          if (fetches.delete(id)) reject(signal.reason);
        });
        out.push({ kind: "fetch", id, url, body });
      }),
    /** @param {string} type @param {() => void} listener @param {{ signal?: AbortSignal }} options */
    addEventListener(type, listener, { signal } = {}) {
      const listening = { type, listener };
      if (signal?.aborted) return;
      listenings.add(listening);
      signal?.addEventListener("abort", () => listenings.delete(listening));
    },
    /** @param {string} type @param {() => void} listener */
    removeEventListener(type, listener) {
      for (const each of listenings)
        if (each.type === type && each.listener === listener) listenings.delete(each);
    },
  });
  Object.defineProperty(globalThis, "navigator", { value: { onLine: true }, configurable: true });
}

/** @param {Entry} event @param {Record<string, (event: any) => void>} own */
function take(event, own) {
  const { kind, id, status, body } = event;
  if (kind in own) own[kind](event);
  else if (kind === "online" || kind === "offline") {
    Object.assign(navigator, { onLine: kind === "online" });
    for (const { type, listener } of [...listenings]) if (type === kind) listener();
  } else if (kind === "answer") {
    const asked = fetches.get(id);
    fetches.delete(id);
    if (status) asked?.resolve({ status, json: async () => JSON.parse(body) });
    else asked?.reject(new TypeError("Failed to fetch"));
  } else sockets.get(id)?.take(event);
}

/** The next timer that is due by a time. @param {number} until */
function due(until) {
  /** @type {[number, Timer] | undefined} */
  let first;
  for (const each of timers) if (each[1].at <= (first?.[1].at ?? until)) first ??= each;
  for (const each of timers) if (first && each[1].at < first[1].at) first = each;
  return first;
}

/** The lines of standard input, read without a thread of Node, which takes longer. */
function* lines() {
  const buffer = Buffer.alloc(1 << 20);
  let text = "";
  for (;;) {
    const end = text.indexOf("\n");
    if (end >= 0) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
      continue;
    }
    const size = readSync(0, buffer);
    if (!size) return;
    text += buffer.toString("latin1", 0, size);
  }
}

/** Let promises run. */
const settled = () => new Promise((resolve) => immediate(resolve));

/**
 * Run until standard input ends.
 * @param {Record<string, (event: any) => void>} own Takes the events that are not of the browser;
 *   `begin`, the first, has the seed.
 */
export async function run(own) {
  for (const line of lines()) {
    const { until, events } = JSON.parse(line);
    for (const event of events) {
      if (event.kind === "begin") install(event.seed);
      take(event, own);
      await settled();
    }
    const end = until ?? Number.POSITIVE_INFINITY;
    while (!out.length) {
      const next = due(end);
      if (!next) {
        now = until ?? now;
        break;
      }
      const [id, { at, every, callback }] = next;
      now = Math.max(now, at);
      if (every) timers.set(id, { at: now + every, every, callback });
      else timers.delete(id);
      callback();
      await settled();
    }
    const open = [...sockets.values()].filter(({ isOpen }) => isOpen).length;
    const set = [...timers.values()].filter(({ isOurs }) => !isOurs).length;
    const left = { timers: set, listenings: listenings.size, sockets: open };
    writeSync(1, `${JSON.stringify({ now, out, log, left })}\n`);
    out = [];
    log = [];
  }
}
