/** The microphone, as messages that Gemini takes. */

/**
 * @typedef {object} Microphone
 * @property {() => void} stop Lets go of it.
 */

/**
 * Listens until it is stopped; the person is asked for leave. It takes a user's click before.
 * @param {(audio: { data: string, mimeType: string }, level: number) => void} heard Called each
 *   50 ms with the sound, and with its peak from 0 to 1.
 * @returns {Promise<Microphone>}
 * @throws {DOMException} NotAllowedError without leave, NotFoundError without a microphone.
 */
export async function listen(heard) {
  const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: true };
  const stream = await navigator.mediaDevices.getUserMedia({ audio });
  const context = new AudioContext(); // at the device's own rate, which Firefox insists on
  try {
    await context.audioWorklet.addModule(new URL("microphone-worklet.js", import.meta.url));
  } catch (error) {
    release();
    throw error;
  }
  const worklet = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 0 });
  worklet.port.onmessage = ({ data: { samples, level } }) =>
    heard({ data: base64(samples), mimeType: "audio/pcm;rate=16000" }, level);
  context.createMediaStreamSource(stream).connect(worklet);

  function release() {
    for (const track of stream.getTracks()) track.stop();
    context.close();
  }
  return {
    stop() {
      worklet.port.onmessage = null;
      release();
    },
  };
}

/** @param {ArrayBuffer} buffer */
const base64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));
