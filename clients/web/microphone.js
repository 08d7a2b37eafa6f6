/** Reads the microphone as audio for Gemini. */

/**
 * Listen until the signal is aborted. The browser asks the user for permission; call it after a
 * click.
 * @param {(audio: { data: string, mimeType: string }, level: number) => void} heard Called every
 *   50 ms with the audio and its peak, from 0 to 1.
 * @param {AbortSignal} signal Releases the microphone.
 * @throws {DOMException} NotAllowedError without permission, NotFoundError without a microphone.
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
    const context = new AudioContext(); // at the device's rate, which Firefox requires
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
