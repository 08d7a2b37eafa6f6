/** The microphone, as messages that Gemini takes. */

/**
 * Listens until it is told to stop; the person is asked for leave. It takes a user's click before.
 * @param {(audio: { data: string, mimeType: string }, level: number) => void} heard Called each
 *   50 ms with the sound, and with its peak from 0 to 1.
 * @param {AbortSignal} signal Lets go of the microphone, whenever it comes.
 * @throws {DOMException} NotAllowedError without leave, NotFoundError without a microphone.
 */
export async function listen(heard, signal) {
  if (signal.aborted) return;
  const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: true };
  const stream = await navigator.mediaDevices.getUserMedia({ audio });
  const release = () => {
    for (const track of stream.getTracks()) track.stop();
  };
  if (signal.aborted) return release();
  signal.addEventListener("abort", release);
  try {
    const context = new AudioContext(); // at the device's own rate, which Firefox insists on
    signal.addEventListener("abort", () => context.close());
    await context.audioWorklet.addModule(new URL("microphone-worklet.js", import.meta.url));
    if (signal.aborted) return;
    const worklet = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 0 });
    worklet.port.onmessage = ({ data: { samples, level } }) => {
      if (!signal.aborted)
        heard({ data: base64(samples), mimeType: "audio/pcm;rate=16000" }, level);
    };
    context.createMediaStreamSource(stream).connect(worklet);
  } catch (error) {
    release();
    throw error;
  }
}

/** @param {ArrayBuffer} buffer */
const base64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));
