// The globals of an AudioWorklet, which TypeScript's libraries lack (Web Audio API, 1.32).
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare const sampleRate: number;
declare function registerProcessor(name: string, processor: typeof AudioWorkletProcessor): void;
