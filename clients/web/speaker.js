/** Plays audio from Gemini in the order of arrival. */

import { keepRunning } from "./audio-context.js";

const RATE = 24_000; // Hz, 16-bit mono
const AHEAD = 0.05; // seconds of delay; audio that arrives later leaves a gap
const STALE = 1; // seconds for which audio waits if the browser has suspended the speaker

/** Make it in the handler of a click, so that the browser lets it play. */
export class Speaker {
  #context = new AudioContext({ sampleRate: RATE });
  /** @type {Set<AudioBufferSourceNode>} */
  #queue = new Set();
  #end = 0; // of the queue, on the context's clock
  #behind = this.#difference; // which grows while the context is suspended

  constructor() {
    keepRunning(this.#context, () => this.#dropStale());
    this.#context.addEventListener("statechange", () => this.#dropStale());
  }

  /** Whether audio is playing. */
  get isPlaying() {
    return this.#queue.size > 0;
  }

  /**
   * Play audio after the rest of the queue. While the browser has suspended the speaker for longer
   * than a second, audio is dropped.
   * @param {string} data Base64 of 24 kHz, 16-bit, little-endian, mono audio, as in a message.
   */
  play(data) {
    this.#dropStale();
    if (this.#difference - this.#behind > STALE) return;
    const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
    const samples = new DataView(bytes.buffer);
    const count = bytes.length >> 1;
    if (count === 0) return;
    const buffer = this.#context.createBuffer(1, count, RATE);
    const channel = buffer.getChannelData(0);
    for (let n = 0; n < count; n++) channel[n] = samples.getInt16(2 * n, true) / 32_768;

    const source = new AudioBufferSourceNode(this.#context, { buffer });
    source.connect(this.#context.destination);
    source.onended = () => this.#queue.delete(source);
    const start = Math.max(this.#end, this.#context.currentTime + AHEAD);
    source.start(start);
    this.#end = start + buffer.duration;
    this.#queue.add(source);
  }

  /** Stop and empty the queue, after an interruption. */
  clear() {
    for (const source of this.#queue) source.stop();
    this.#queue.clear();
    this.#end = 0;
  }

  /** Stop for good. */
  close() {
    this.clear();
    this.#context.close();
  }

  /** Seconds from the context's clock to the device's. */
  get #difference() {
    return Date.now() / 1000 - this.#context.currentTime;
  }

  /** Empty the queue if it has waited too long. */
  #dropStale() {
    if (this.#difference - this.#behind > STALE) this.clear();
    if (this.#context.state === "running") this.#behind = this.#difference;
  }
}
