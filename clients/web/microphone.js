/** Reads the microphone as audio for Gemini. */

import { keepRunning } from "./audio-context.js";

/**
 * Listen until the signal is aborted. The browser asks the user for permission: call it after a
 * click, and before a token is spent, which a refusal would waste.
 * @param {(audio: { data: string, mimeType: string }, level: number) => void} heard Called every
 *   50 ms with the audio and its peak, from 0 to 1.
 * @param {AbortSignal} signal Releases the microphone.
 * @param {() => void} [ended] Called if the microphone ends before that: it was unplugged, or the
 *   user has taken the permission back.
 * @throws {DOMException} NotAllowedError without permission, NotFoundError without a microphone,
 *   NotReadableError if it cannot be used.
 */
export async function listen(heard, signal, ended = () => {}) {
  if (signal.aborted) return;
  const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: true };
  const stream = await navigator.mediaDevices.getUserMedia({ audio });
  const [track] = stream.getAudioTracks();
  /** @type {AudioContext | undefined} */
  let context;
  let isOver = false;
  const release = () => {
    if (isOver) return;
    isOver = true;
    track.stop();
    context?.close();
  };
  if (signal.aborted) return release();
  signal.addEventListener("abort", release);
  try {
    context = new AudioContext(); // at the device's rate, which Firefox requires
    keepRunning(context);
    await context.audioWorklet.addModule(new URL("microphone-worklet.js", import.meta.url));
    if (signal.aborted) return;
    if (track.readyState === "ended") throw new DOMException("It has ended.", "NotReadableError");
    const worklet = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 0 });
    worklet.port.onmessage = ({ data: { samples, level } }) => {
      if (!isOver) heard({ data: base64(samples), mimeType: "audio/pcm;rate=16000" }, level);
    };
    context.createMediaStreamSource(stream).connect(worklet);
    track.addEventListener("ended", () => {
      release();
      ended();
    });
  } catch (error) {
    release();
    throw error;
  }
}

/** @param {ArrayBuffer} buffer */
const base64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));
