/**
 * Gemini Live from an app, on tokens that livetoken gives: get one, connect, and go on when a
 * connection ends. This file is all that an app needs; copy it.
 *
 *     const conversation = new Conversation(
 *       { url: LIVETOKEN_URL, idToken: (refresh) => auth.currentUser?.getIdToken(refresh) ?? null },
 *       { onmessage: play, onstate: show },
 *     );
 *     await conversation.start();
 *     conversation.send({ realtimeInput: { audio: { data, mimeType: "audio/pcm;rate=16000" } } });
 *
 * An app with @google/genai adds `transport: overGenAI(GoogleGenAI)` to the last of these.
 */

/**
 * Who asks, where, and for what.
 * @typedef {object} Source
 * @property {string} url Where livetoken is.
 * @property {(refresh: boolean) => Promise<string | null> | null} idToken The caller's ID token, a new one
 *   if `refresh`; null while nobody is signed in.
 * @property {(refresh: boolean) => Promise<string>} [appCheckToken] The app's App Check token.
 * @property {string} [profile] A profile of the policy; "default" if left out.
 */

/**
 * What livetoken answers with: good for one session. Times are RFC 3339, in UTC.
 * @typedef {object} Token
 * @property {string} name What Gemini takes in the place of an API key.
 * @property {string} expireTime When the session ends.
 * @property {string} newSessionExpireTime Until when it has to start.
 * @property {string} profile
 * @property {string} model
 * @property {string} apiVersion
 * @property {string} webSocketUrl
 */

/**
 * What Gemini sends, in so far as this module looks at it; the Live API's reference has the rest.
 * @typedef {object} ServerMessage
 * @property {{}} [setupComplete]
 * @property {{ modelTurn?: { parts?: { inlineData?: { data?: string, mimeType?: string } }[] },
 *   inputTranscription?: { text?: string }, outputTranscription?: { text?: string },
 *   interrupted?: boolean, turnComplete?: boolean }} [serverContent]
 * @property {{ newHandle?: string, resumable?: boolean }} [sessionResumptionUpdate]
 * @property {{ timeLeft?: string }} [goAway]
 * @property {{ functionCalls?: { id?: string, name?: string, args?: Record<string, unknown> }[] }}
 *   [toolCall]
 */

/**
 * What an app sends: one of the three.
 * @typedef {object} ClientMessage
 * @property {{ turns?: { role?: string, parts?: { text?: string }[] }[], turnComplete?: boolean }}
 *   [clientContent]
 * @property {{ audio?: { data: string, mimeType: string }, text?: string, activityStart?: {},
 *   activityEnd?: {}, audioStreamEnd?: boolean }} [realtimeInput] Audio is base64 of 16-bit mono.
 * @property {{ functionResponses: { id?: string, name?: string,
 *   response?: Record<string, unknown> }[] }} [toolResponse]
 */

/**
 * A `Transport` opens a session, and resolves once Gemini has taken its setup; it rejects with
 * SESSION_REFUSED, and stops where `signal` says so. `send` says whether a message went out;
 * `onclose` hears of every end, that by `close` too.
 * @typedef {{ send: (message: ClientMessage) => boolean, close: () => void }} Session
 * @typedef {{ onmessage: (message: ServerMessage) => void,
 *   onclose: (end: { code: number, reason: string }) => void, signal?: AbortSignal }} SessionEvents
 * @typedef {(token: Token, events: SessionEvents) => Promise<Session>} Transport
 */

/**
 * `connecting`, then `open` and `resuming` in turn, then `closed` for good.
 * @typedef {"new" | "connecting" | "open" | "resuming" | "closed"} State
 */

const ANSWER_WITHIN = 15_000; // ms: twice what livetoken takes at the most
const RENEW_BEFORE = 30_000; // ms before a token's end
const RENEW_AFTER = 30_000; // ms at the least, whatever this device's clock says
const ATTEMPTS = 20; // to get a token, which takes two minutes; time offline does not count
const REFUSALS = 5; // tokens that led to no session that works, one after the other
const OPENS_WITHIN = 15_000; // ms that a session takes to open
const WORKS_AFTER = 30_000; // ms that a session lasted, or it has said something
const LONGEST_WAIT = 30; // seconds that somebody waits for a Retry-After
const STALE = 5_000; // ms after which sound is no longer worth sending

/** Why there is no token or no session. */
export class LivetokenError extends Error {
  /**
   * @param {string} reason A reason of livetoken's table of errors; or UNREACHABLE (no answer of
   *   livetoken's), SESSION_REFUSED (Gemini opened none), SESSION_ENDED (it cannot be resumed).
   * @param {string} message
   * @param {{ code?: number, retryable?: boolean, retryAfterSeconds?: number, cause?: unknown }}
   *   [details] `code` is the HTTP status, or the socket's close code.
   */
  constructor(reason, message, { code, retryable = false, retryAfterSeconds, cause } = {}) {
    super(message, { cause });
    this.name = "LivetokenError";
    this.reason = reason;
    this.code = code;
    this.retryable = retryable;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/**
 * Gets a token. An ID token or App Check token that has expired is renewed, and asked with again.
 * @param {Source} source
 * @param {string} [resume] The handle of a session that shall go on.
 * @returns {Promise<Token>}
 * @throws {LivetokenError} And whatever `idToken` and `appCheckToken` throw.
 */
export async function getToken(source, resume) {
  const renewed = new Set();
  for (;;) {
    const idToken = await source.idToken(renewed.has("ID_TOKEN_EXPIRED"));
    const appCheckToken = await source.appCheckToken?.(renewed.has("APP_CHECK_FAILED"));
    try {
      return await ask(source, resume, idToken, appCheckToken);
    } catch (error) {
      const { reason } = /** @type {LivetokenError} */ (error);
      const renewable =
        reason === "ID_TOKEN_EXPIRED" || (reason === "APP_CHECK_FAILED" && appCheckToken);
      if (!renewable || renewed.has(reason)) throw error;
      renewed.add(reason);
    }
  }
}

/**
 * @param {Source} source
 * @param {string | undefined} resume
 * @param {string | null} idToken
 * @param {string | undefined} appCheckToken
 * @returns {Promise<Token>}
 */
async function ask({ url, profile }, resume, idToken, appCheckToken) {
  const headers = new Headers({ "Content-Type": "application/json" });
  if (idToken) headers.set("Authorization", `Bearer ${idToken}`);
  if (appCheckToken) headers.set("X-Firebase-AppCheck", appCheckToken);
  const body = JSON.stringify({ profile, resume });
  let status;
  let answer;
  try {
    const signal = AbortSignal.timeout(ANSWER_WITHIN);
    const response = await fetch(url, { method: "POST", headers, body, signal });
    status = response.status;
    answer = await response.json();
  } catch (cause) {
    const details = { code: status, retryable: true, cause };
    throw new LivetokenError("UNREACHABLE", "livetoken did not answer.", details);
  }
  if (status === 200 && answer?.name) return answer;
  const { message, details } = answer?.error ?? {};
  if (details?.reason) {
    throw new LivetokenError(details.reason, message, { code: status, ...details });
  }
  const unknown = { code: status, retryable: true };
  throw new LivetokenError("UNREACHABLE", "Somebody else answered in livetoken's place.", unknown);
}

/**
 * Sessions over a plain WebSocket.
 * @param {object} [setup] Fields of the setup that the policy leaves to the client.
 * @returns {Transport}
 */
export const overWebSocket =
  (setup = {}) =>
  (token, { onmessage, onclose, signal }) =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(`${token.webSocketUrl}?access_token=${token.name}`);
      const session = {
        /** @param {ClientMessage} message */
        send: (message) => {
          if (socket.readyState !== WebSocket.OPEN) return false;
          socket.send(JSON.stringify(message));
          return true;
        },
        close: () => socket.close(1000),
      };
      signal?.addEventListener("abort", session.close);
      socket.binaryType = "arraybuffer";
      socket.onopen = () =>
        socket.send(JSON.stringify({ setup: { ...setup, model: token.model } }));
      socket.onmessage = ({ data }) => {
        const text = typeof data === "string" ? data : new TextDecoder().decode(data);
        const message = JSON.parse(text);
        if (message.setupComplete) resolve(session);
        else onmessage(message);
      };
      socket.onclose = (end) => {
        reject(refused(end));
        onclose(end);
      };
    });

/**
 * Sessions of @google/genai, version 2 or 3. Messages are its `LiveServerMessage`s.
 * @param {any} GoogleGenAI The class, as the app imports it.
 * @param {object} [config] What of the policy's config is left to the client.
 * @returns {Transport}
 */
export const overGenAI =
  (GoogleGenAI, config = {}) =>
  (token, { onmessage, onclose }) =>
    new Promise((resolve, reject) => {
      const baseUrl = new URL(token.webSocketUrl.replace(/^ws/, "http")).origin;
      const httpOptions = { apiVersion: token.apiVersion, baseUrl };
      const { live } = new GoogleGenAI({ apiKey: token.name, httpOptions });
      const callbacks = {
        /** @param {ServerMessage} message */
        onmessage: (message) => {
          if (!message.setupComplete) onmessage(message);
        },
        /** @param {{ code: number, reason: string }} end */
        onclose: (end) => {
          reject(refused(end)); // version 2 never settles connect() where it is refused
          onclose(end);
        },
      };
      live.connect({ model: token.model, config, callbacks }).then(
        (/** @type {any} */ live) =>
          resolve({
            send: ({ clientContent, realtimeInput, toolResponse }) => {
              if (clientContent) live.sendClientContent(clientContent);
              if (realtimeInput) live.sendRealtimeInput(realtimeInput);
              if (toolResponse) live.sendToolResponse(toolResponse);
              return true; // as far as the SDK tells
            },
            close: () => live.close(),
          }),
        reject,
      );
    });

/** @param {{ code: number, reason: string }} end */
const refused = ({ code, reason }) =>
  new LivetokenError("SESSION_REFUSED", reason || "No session opened.", { code, retryable: true });

/** @param {{ code: number, reason: string }} end */
const ended = ({ code, reason }) =>
  new LivetokenError("SESSION_ENDED", reason || "It was lost.", { code, retryable: true });

/**
 * One conversation, over as many connections as it takes. A fresh token with the handle of the
 * last one is got when Gemini says that a connection ends, before a token does, when a connection
 * is lost, and when the device is online again. A profile without `session_resumption` gives no
 * handles: there a conversation ends with its connection.
 */
export class Conversation {
  /** @type {State} */
  state = "new";
  /** @type {Token | null} The one on which it is held now. */
  token = null;
  #source;
  #transport;
  #onmessage;
  #onstate;
  /** @type {{ session: Session, end: Promise<void> } | null} */
  #connection = null;
  #connections = 0;
  /** @type {string | undefined} */
  #handle;
  #handleIsLast = false; // nothing has been said since it came
  #answering = false;
  #openedAt = 0;
  #works = false; // the session on this connection has said something
  #refusals = 0;
  #due = false; // another connection is wanted, at the next pause
  #resuming = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #renewal;
  /** @type {{ message: ClientMessage, at: number }[]} */
  #waiting = [];
  #over = new AbortController();

  /**
   * @param {Source} source
   * @param {object} options
   * @param {(message: ServerMessage) => void} options.onmessage Each message of Gemini's.
   * @param {(state: State, error?: Error) => void} [options.onstate] Each change of the state;
   *   the error says why it is closed, where the app did not ask for that.
   * @param {Transport} [options.transport] How sessions are opened.
   */
  constructor(source, { onmessage, onstate = () => {}, transport = overWebSocket() }) {
    this.#source = source;
    this.#transport = transport;
    this.#onmessage = onmessage;
    this.#onstate = onstate;
  }

  /**
   * Opens the first session, unless it is closed meanwhile. Call it once.
   * @param {Token} [token] One that was got already, and not used; a new one is got if left out.
   * @throws {LivetokenError} There is no conversation then. And what `idToken` throws.
   */
  async start(token) {
    if (this.state !== "new") throw new Error("A conversation starts once.");
    this.#change("connecting");
    const listening = { signal: this.#over.signal };
    globalThis.addEventListener?.("offline", () => this.#offline(), listening);
    try {
      const first = token ?? (await getToken(this.#source));
      if (!this.#over.signal.aborted) await this.#open(first);
    } catch (error) {
      if (this.#over.signal.aborted) return;
      this.#end(/** @type {Error} */ (error));
      throw error;
    }
  }

  /**
   * Sends a message; while there is no connection, it waits for the next. Sound that has waited for
   * more than five seconds is left out.
   * @param {ClientMessage} message
   * @throws {Error} The conversation is closed.
   */
  send(message) {
    if (this.state === "closed") throw new Error("The conversation is closed.");
    if (this.#connection?.session.send(message)) {
      if (!message.realtimeInput?.audio) this.#handleIsLast = false;
    } else {
      this.#waiting.push({ message, at: Date.now() });
      this.#waiting = this.#waiting.filter(isFresh);
    }
  }

  /** Aborted once the conversation is closed. */
  get signal() {
    return this.#over.signal;
  }

  /** Ends the conversation. */
  close() {
    if (this.state !== "closed") this.#end();
  }

  /** @param {Token} token */
  async #open(token) {
    const number = ++this.#connections;
    const isCurrent = () => number === this.#connections && this.state !== "closed";
    let hasEnded = () => {};
    /** @type {Promise<void>} */
    const end = new Promise((resolve) => {
      hasEnded = resolve;
    });
    let isOpen = false;
    const late = new AbortController();
    const opening = this.#transport(token, {
      onmessage: (message) => isCurrent() && this.#take(message),
      onclose: (end) => {
        hasEnded();
        if (isOpen && isCurrent()) this.#lost(end);
      },
      signal: late.signal,
    });
    const session = await Promise.race([opening, pause(OPENS_WITHIN, this.#over.signal)]);
    if (!session || !isCurrent()) {
      late.abort();
      opening.then(
        (late) => late.close(),
        () => {},
      );
      if (this.state === "closed") return;
      throw refused({ code: 1006, reason: "Gemini did not answer." });
    }
    isOpen = true;
    this.#connection = { session, end };
    this.token = token;
    this.#openedAt = Date.now();
    this.#due = this.#answering = this.#works = false;
    this.#renewLater(token);
    for (const { message } of this.#waiting.splice(0).filter(isFresh)) {
      tell(() => this.send(message));
    }
    this.#change("open");
  }

  /** @param {ServerMessage} message */
  #take(message) {
    const { goAway, serverContent, toolCall, sessionResumptionUpdate: update } = message;
    if (serverContent) this.#works = true;
    if (serverContent?.modelTurn) this.#answering = true;
    if (serverContent?.modelTurn || serverContent?.inputTranscription || toolCall || update) {
      this.#handleIsLast = false;
    }
    if (serverContent?.turnComplete) this.#answering = false;
    if (update?.resumable && update.newHandle) {
      this.#handle = update.newHandle;
      this.#handleIsLast = true;
    }
    if (goAway) this.#due = true;
    tell(this.#onmessage, message);
    this.#resumeIfDue();
  }

  get #isPause() {
    return this.#handleIsLast && !this.#answering;
  }

  #resumeIfDue() {
    if (this.#due && this.#isPause) this.#resume();
  }

  /** @param {Token} token */
  #renewLater({ expireTime }) {
    clearTimeout(this.#renewal);
    const left = Date.parse(expireTime) - Date.now() - RENEW_BEFORE;
    if (!(left >= RENEW_AFTER)) return; // its end is noticed when it comes
    this.#renewal = setTimeout(() => {
      this.#due = true;
      this.#resumeIfDue();
    }, left);
  }

  #offline() {
    if (!this.#connection || !this.#handle) return;
    this.#connection.session.close(); // which may take minutes without a network
    this.#lost({ code: 1006, reason: "This device is offline." });
  }

  /** @param {{ code: number, reason: string }} end */
  #lost(end) {
    this.#connection = null;
    this.#connections++;
    const isOurMistake = end.code === 1007; // it would only be made again
    if (this.#handle && !isOurMistake) this.#resume();
    else this.#end(ended(end));
  }

  async #resume() {
    if (this.#resuming) return;
    const works = this.#works || Date.now() - this.#openedAt >= WORKS_AFTER;
    this.#refusals = works ? 0 : this.#refusals + 1;
    if (this.#refusals >= REFUSALS) {
      this.#due = false;
      if (!this.#connection)
        this.#end(ended({ code: 1006, reason: "Each session ended at once." }));
      return;
    }
    this.#resuming = true;
    this.#change("resuming");
    if (!works) await pause(backoff(this.#refusals), this.#over.signal);
    for (let attempt = 0; this.state === "resuming"; attempt++) {
      let token;
      try {
        const handle = this.#handle;
        token = await getToken(this.#source, handle);
        if (this.#connection && !(this.#isPause && handle === this.#handle)) {
          this.#change("open"); // somebody spoke meanwhile: at the next pause
          break;
        }
        await this.#drop();
        if (this.state === "resuming") await this.#open(token);
      } catch (error) {
        if (this.state !== "resuming") break;
        if (this.#connection) {
          this.#due = false; // it was ahead of time, and the old connection still holds
          this.#change("open");
          break;
        }
        const { retryable = true, retryAfterSeconds } = /** @type {any} */ (error);
        if (token) this.#refusals++;
        if (isOffline()) attempt = 0;
        const isLast = this.#refusals >= REFUSALS || attempt === ATTEMPTS;
        if (isLast || !retryable || retryAfterSeconds > LONGEST_WAIT) {
          this.#end(/** @type {Error} */ (error));
          break;
        }
        await pause(retryAfterSeconds * 1000 || backoff(attempt), this.#over.signal);
      }
    }
    this.#resuming = false;
    this.#resumeIfDue();
  }

  /** Ends a connection before the next: Gemini refuses two of one session at once. */
  async #drop() {
    if (!this.#connection) return;
    const { session, end } = this.#connection;
    this.#connection = null;
    this.#connections++;
    session.close();
    await Promise.race([end, pause(1_000, this.#over.signal)]);
  }

  /** @param {Error} [error] */
  #end(error) {
    clearTimeout(this.#renewal);
    this.state = "closed";
    this.#over.abort();
    this.#connection?.session.close();
    this.#connection = null;
    this.#waiting = [];
    this.#change("closed", error);
  }

  /**
   * @param {State} state
   * @param {Error} [error]
   */
  #change(state, error) {
    this.state = state;
    tell(this.#onstate, state, error);
  }
}

/** @param {{ message: ClientMessage, at: number }} waiting */
const isFresh = ({ message, at }) => !message.realtimeInput?.audio || Date.now() - at < STALE;

const isOffline = () => globalThis.navigator?.onLine === false;

/**
 * Milliseconds to wait after so many attempts: half a second at the most, doubled up to eight.
 * @param {number} attempt
 */
const backoff = (attempt) => Math.min(8_000, 500 * 2 ** attempt) * (0.5 + Math.random() / 2);

/**
 * Calls the app back. What it throws is reported as any error of its own, and stops nothing here.
 * @template {unknown[]} T
 * @param {(...given: T) => void} callback
 * @param {T} given
 */
function tell(callback, ...given) {
  try {
    callback(...given);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/**
 * Waits; where the device is offline, until it is online, and never longer than the signal lets it.
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
const pause = (milliseconds, signal) =>
  new Promise((resolve) => {
    const over = new AbortController();
    const done = () => {
      over.abort();
      clearTimeout(timer);
      resolve();
    };
    const timer = isOffline() ? undefined : setTimeout(done, milliseconds);
    globalThis.addEventListener?.("online", done, over);
    signal.addEventListener("abort", done, over);
  });
