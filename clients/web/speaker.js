/** Plays audio from Gemini in the order of arrival. */

const RATE = 24_000; // Hz, 16-bit mono
const AHEAD = 0.05; // seconds of delay; audio that arrives later leaves a gap

export class Speaker {
  #context = new AudioContext({ sampleRate: RATE });
  /** @type {Set<AudioBufferSourceNode>} */
  #queue = new Set();
  #end = 0; // of the queue, on the context's clock

  /** Whether audio is playing. */
  get isPlaying() {
    return this.#queue.size > 0;
  }

  /**
   * Play audio after the rest of the queue.
   * @param {string} data Base64 of 24 kHz, 16-bit, little-endian, mono audio, as in a message.
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
}
