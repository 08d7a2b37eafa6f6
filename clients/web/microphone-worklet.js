/** Converts microphone audio to 16 kHz, 16-bit, mono, as Gemini expects it. */

const RATE = 16_000; // Hz
const SAMPLES = RATE / 20; // in a message, 50 ms

class Microphone extends AudioWorkletProcessor {
  #chunk = new Int16Array(SAMPLES);
  #filled = 0;
  #loudest = 0;
  #sum = 0; // of the input samples since the last output sample
  #count = 0;
  #due = 0; // input samples since the last output sample, with its fraction

  /** @param {Float32Array[][]} inputs */
  process([[samples]]) {
    for (const sample of samples ?? []) {
      this.#sum += sample;
      this.#count += 1;
      this.#due += 1;
      if (this.#due < sampleRate / RATE) continue;
      for (; this.#due >= sampleRate / RATE; this.#due -= sampleRate / RATE) {
        this.#put(this.#sum / this.#count);
      }
      this.#sum = this.#count = 0;
    }
    return true;
  }

  /** @param {number} sample The mean of the input samples, which weakens too high frequencies. */
  #put(sample) {
    this.#loudest = Math.max(this.#loudest, Math.abs(sample));
    this.#chunk[this.#filled++] = Math.max(-1, Math.min(1, sample)) * 32_767;
    if (this.#filled < SAMPLES) return;
    const message = { samples: this.#chunk.buffer, level: this.#loudest };
    this.port.postMessage(message, [this.#chunk.buffer]);
    this.#chunk = new Int16Array(SAMPLES);
    this.#filled = this.#loudest = 0;
  }
}

registerProcessor("microphone", Microphone);
