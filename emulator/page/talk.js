/** A conversation on the page: its microphone, its speaker and its transcript. */

import { Conversation, overWebSocket } from "/clients/web/livetoken.js";
import { listen } from "/clients/web/microphone.js";
import { Speaker } from "/clients/web/speaker.js";
import { find } from "./dom.js";
import { describe } from "./errors.js";
import * as transcript from "./transcript.js";

/** @typedef {import("/clients/web/livetoken.js").ServerMessage} ServerMessage */
/** @typedef {import("/clients/web/livetoken.js").Session} Session */
/** @typedef {import("/clients/web/livetoken.js").Source} Source */
/** @typedef {import("/clients/web/livetoken.js").State} State */
/** @typedef {import("/clients/web/livetoken.js").Token} Token */

const LOUD = 0.02; // peak of speech, from 0 to 1

const level = find("level", HTMLMeterElement);

export class Talk {
  /** @type {Token | null} The token of its newest session; null if none has opened. */
  token = null;
  isListening = false;
  isMuted = false;
  /** @type {Session | null} */
  #session = null;
  #speaker = new Speaker();
  #hasHandle = false;
  #hasEnded = false;
  /** @type {Error | undefined} Why the page has ended it. */
  #failure;
  #conversation;
  #onchange;
  #onend;

  /**
   * Call it in the handler of a click, so that the browser lets it play audio.
   * @param {Source} source
   * @param {object} events
   * @param {() => void} events.onchange Called when something else is to be shown.
   * @param {(error?: Error) => void} events.onend Called once, with the reason unless it is `stop`.
   */
  constructor(source, { onchange, onend }) {
    this.#onchange = onchange;
    this.#onend = onend;
    this.#conversation = new Conversation(source, {
      onmessage: (message) => this.#take(message),
      onstate: (state, error) => this.#follow(state, error),
      onlost: (lost) => {
        this.#speaker.clear();
        if (lost.forgot === "everything") this.#hasHandle = false;
        const what = describe(lost);
        if (what) transcript.note(what);
      },
      transport: async (token, events) => {
        this.#session = await overWebSocket()(token, events);
        return this.#session;
      },
    });
    for (const event of ["online", "offline"]) {
      addEventListener(event, () => this.#onchange(), { signal: this.#conversation.signal });
    }
    transcript.empty();
  }

  /**
   * Open the microphone, and then a session, so that a refusal of the microphone costs no token.
   * @param {() => Token | undefined} take Returns an unused token; without one, the conversation gets
   *   one.
   */
  async startWithMicrophone(take) {
    try {
      await this.listen();
    } catch (error) {
      this.#failure = /** @type {Error} */ (error);
      this.stop();
    }
    if (!this.#hasEnded) await this.start(take());
  }

  /** @param {Token} [token] */
  async start(token) {
    await this.#conversation.start(token).catch(() => {}); // `onend` has the error
  }

  /** Open the microphone. */
  async listen() {
    const { signal } = this.#conversation;
    await listen(
      (audio, peak) => this.#hear(audio, peak),
      signal,
      () => {
        this.#deafen();
        this.#conversation.send({ realtimeInput: { audioStreamEnd: true } });
        transcript.note("The microphone has ended.");
        this.#onchange();
      },
    );
    this.isListening = !signal.aborted;
    this.#onchange();
  }

  /** @param {string} words */
  write(words) {
    this.#speaker.clear();
    transcript.wrote(words);
    this.#conversation.send({ realtimeInput: { text: words } });
  }

  mute() {
    this.isMuted = !this.isMuted;
    if (this.isMuted) this.#conversation.send({ realtimeInput: { audioStreamEnd: true } });
    this.#onchange();
  }

  /** Close the connection. */
  cut() {
    this.#session?.close();
  }

  stop() {
    this.#conversation.close();
  }

  /** Whether it has begun to connect. */
  get hasStarted() {
    return this.#conversation.state !== "new";
  }

  get isOpen() {
    return this.#conversation.state === "open";
  }

  /** What the page says about it. */
  get status() {
    if (!this.hasStarted) return "Waiting for the microphone…";
    if (this.#conversation.state === "connecting") return "Connecting…";
    if (this.isOpen) {
      if (!this.isListening) return "Connected. Write.";
      return this.isMuted ? "Connected. Unmute or write." : "Connected. Speak or write.";
    }
    return navigator.onLine
      ? "Connecting again with a new token…"
      : "You are offline. The conversation goes on when you are back online.";
  }

  /** @param {ServerMessage} message */
  #take(message) {
    transcript.take(message);
    const { serverContent, sessionResumptionUpdate } = message;
    if (sessionResumptionUpdate?.newHandle) this.#hasHandle = true;
    if (serverContent?.interrupted) this.#speaker.clear();
    for (const { inlineData } of serverContent?.modelTurn?.parts ?? []) {
      if (inlineData?.data && inlineData.mimeType?.startsWith("audio/pcm")) {
        this.#speaker.play(inlineData.data);
      }
    }
  }

  /**
   * @param {{ data: string, mimeType: string }} audio
   * @param {number} peak
   */
  #hear(audio, peak) {
    level.value = peak;
    level.textContent = peak < LOUD ? "silent" : "heard";
    if (this.isMuted) return;
    if (peak >= LOUD) transcript.spoke();
    this.#conversation.send({ realtimeInput: { audio } });
  }

  #deafen() {
    this.isListening = this.isMuted = false;
    level.value = 0;
    level.textContent = "silent";
  }

  /**
   * @param {State} state
   * @param {Error} [error]
   */
  #follow(state, error) {
    if (state === "open") this.#opened();
    if (state === "closed") {
      this.#hasEnded = true;
      this.#deafen();
      this.#speaker.close();
      this.#onend(error ?? this.#failure);
    }
    this.#onchange();
  }

  #opened() {
    const { token } = this.#conversation;
    if (this.token && this.token !== token) {
      this.#speaker.clear(); // what was not answered to its end is answered again
      transcript.lose();
      transcript.note(
        this.#hasHandle ? "Resumed with a new token." : "Began anew with a new token.",
      );
    }
    this.token = token;
  }
}
