/** Plays what Gemini says, in the order in which it came. */

const RATE = 24_000; // Hz, 16-bit mono
const AHEAD = 0.05; // seconds: what comes later than that leaves a gap

export class Speaker {
  #context = new AudioContext({ sampleRate: RATE });
  /** @type {Set<AudioBufferSourceNode>} */
  #queue = new Set();
  #end = 0; // of what is in the queue, on the context's clock

  /** Whether something is being played. */
  get isPlaying() {
    return this.#queue.size > 0;
  }

  /**
   * Plays, after all that came before.
   * @param {string} data Base64 of 24 kHz 16-bit little-endian mono, as in a message.
   */
  play(data) {
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

  /** Falls silent, and forgets what was to come: somebody interrupted. */
  clear() {
    for (const source of this.#queue) source.stop();
    this.#queue.clear();
    this.#end = 0;
  }

  /** Is silent for good. */
  close() {
    this.clear();
    this.#context.close();
  }
}
