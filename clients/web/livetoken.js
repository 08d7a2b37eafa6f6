/**
 * Gemini Live for apps that get their tokens from livetoken: get a token, connect, and resume when
 * a connection ends. It is one file without dependencies so that an app can copy it.
 *
 *     const conversation = new Conversation(
 *       { url: LIVETOKEN_URL, idToken: (refresh) => auth.currentUser?.getIdToken(refresh) ?? null },
 *       { onmessage: play, onstate: show },
 *     );
 *     await conversation.start();
 *     conversation.send({ realtimeInput: { audio: { data, mimeType: "audio/pcm;rate=16000" } } });
 *
 * An app that uses @google/genai adds `transport: overGenAI(GoogleGenAI)` to the second argument.
 */

/**
 * Where tokens come from.
 * @typedef {object} Source
 * @property {string} url The URL of livetoken.
 * @property {(refresh: boolean) => Promise<string | null> | null} idToken The user's ID token, a new
 *   one if `refresh`; null while the user is signed out.
 * @property {(refresh: boolean) => Promise<string>} [appCheckToken] The app's App Check token,
 *   a new one if `refresh`.
 * @property {string} [profile] A profile of the policy; "default" if left out.
 */

/**
 * The answer of livetoken, a token for one session. Times are RFC 3339 in UTC.
 * @typedef {object} Token
 * @property {string} name The token, which Gemini accepts instead of an API key.
 * @property {string} expireTime The end of the session.
 * @property {string} newSessionExpireTime The latest start of the session.
 * @property {string} profile
 * @property {string} model
 * @property {string} apiVersion
 * @property {string} webSocketUrl
 */

/**
 * The parts of Gemini's messages that this module reads; the Live API's reference has the rest.
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
 * A message of the app, with one of these three fields.
 * @typedef {object} ClientMessage
 * @property {{ turns?: { role?: string, parts?: { text?: string }[] }[], turnComplete?: boolean }}
 *   [clientContent]
 * @property {{ audio?: { data: string, mimeType: string }, text?: string, activityStart?: {},
 *   activityEnd?: {}, audioStreamEnd?: boolean }} [realtimeInput] Audio is base64 of 16-bit mono.
 * @property {{ functionResponses: { id?: string, name?: string,
 *   response?: Record<string, unknown> }[] }} [toolResponse]
 */

/**
 * A `Transport` opens a session. It resolves after `setupComplete`, rejects with SESSION_REFUSED,
 * and gives up when `signal` is aborted. `send` returns whether the message was sent; `onclose` is
 * called for every end, also after `close`.
 * @typedef {{ send: (message: ClientMessage) => boolean, close: () => void }} Session
 * @typedef {{ onmessage: (message: ServerMessage) => void,
 *   onclose: (end: { code: number, reason: string }) => void, signal?: AbortSignal }} SessionEvents
 * @typedef {(token: Token, events: SessionEvents) => Promise<Session>} Transport
 */

/**
 * First `connecting`, then `open` and `resuming` by turns, and finally `closed`.
 * @typedef {"new" | "connecting" | "open" | "resuming" | "closed"} State
 */

const ANSWER_WITHIN = 15_000; // ms; twice the longest time that livetoken takes
const RENEW_BEFORE = 30_000; // ms before a token expires
const RENEW_AFTER = 30_000; // ms, the minimum even if this device's clock is wrong
const ATTEMPTS = 20; // to get a token, about two minutes; time offline does not count
const REFUSALS = 5; // tokens in a row without a working session
const OPENS_WITHIN = 15_000; // ms until a session must be open
const WORKS_AFTER = 30_000; // ms after which a session works even if Gemini has said nothing
const LONGEST_WAIT = 30; // seconds; with a longer Retry-After the conversation ends
const STALE = 5_000; // ms after which audio is too old to send

const NAME = /^auth_tokens\/[A-Za-z0-9._~-]+$/;
const SOCKET_URL =
  /^(wss:\/\/[A-Za-z0-9.:[\]-]+|ws:\/\/(localhost|127(\.\d+){3}|\[::1\])(:\d+)?)(\/[A-Za-z0-9._~@%/-]*)?$/;

/** Getting a token or opening a session failed, or the session ended. */
export class LivetokenError extends Error {
  /**
   * @param {string} reason A reason from livetoken's table of errors; or UNREACHABLE (no answer of
   *   livetoken), SESSION_REFUSED (Gemini opened no session), SESSION_ENDED (it cannot be resumed).
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
 * Get a token. If the ID token or App Check token has expired, renew it and try once more.
 * @param {Source} source
 * @param {string} [resume] The handle of the session to resume.
 * @returns {Promise<Token>}
 * @throws {LivetokenError} Also what `idToken` and `appCheckToken` throw.
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
    const response = await fetch(url, {
      method: "POST",
      headers,
      body,
      signal,
      redirect: "error", // another origin would get the App Check token and the handle
      credentials: "omit",
      cache: "no-store",
    });
    status = response.status;
    answer = await response.json();
  } catch (cause) {
    const details = { code: status, retryable: true, cause };
    throw new LivetokenError("UNREACHABLE", "livetoken did not answer.", details);
  }
  if (status === 200 && isToken(answer)) return answer;
  const { message, details } = answer?.error ?? {};
  if (details?.reason) {
    throw new LivetokenError(details.reason, message, { code: status, ...details });
  }
  throw foreign(status);
}

/**
 * Whether an answer is a token: its name and URL have the form that livetoken gives them, so that
 * nothing else gets into the URL of the socket.
 * @param {any} answer
 * @returns {answer is Token}
 */
const isToken = (answer) =>
  typeof answer?.name === "string" &&
  typeof answer.webSocketUrl === "string" &&
  NAME.test(answer.name) &&
  SOCKET_URL.test(answer.webSocketUrl);

/** @param {number} [code] */
const foreign = (code) =>
  new LivetokenError("UNREACHABLE", "The answer is not from livetoken.", { code, retryable: true });

/**
 * Open sessions with a plain WebSocket.
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
 * Open sessions with @google/genai, version 2 or 3. Messages are its `LiveServerMessage`s.
 * @param {any} GoogleGenAI The class that the app imports.
 * @param {object} [config] Fields of the config that the policy leaves to the client.
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
          reject(refused(end)); // version 2 never settles connect() if Gemini refuses the session
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
              return true; // the SDK does not tell
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
  new LivetokenError("SESSION_ENDED", reason || "Connection lost.", { code, retryable: true });

/**
 * One conversation over several connections. It gets a new token with the last handle and resumes
 * when Gemini sends `goAway`, before a token expires, when a connection is lost, and when the
 * device is online again. Without `session_resumption` in the profile Gemini sends no handles, and
 * the conversation ends with its connection.
 */
export class Conversation {
  /** @type {State} */
  state = "new";
  /** @type {Token | null} The token of the current session. */
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
  #handleIsLast = false; // nothing has been said since it arrived
  #answering = false;
  #openedAt = 0;
  #works = false; // Gemini has said something in this session
  #refusals = 0;
  #due = false; // resume at the next pause
  #resuming = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #renewal;
  /** @type {{ message: ClientMessage, at: number }[]} */
  #waiting = [];
  #over = new AbortController();

  /**
   * @param {Source} source
   * @param {object} options
   * @param {(message: ServerMessage) => void} options.onmessage Called with each message from Gemini.
   * @param {(state: State, error?: Error) => void} [options.onstate] Called with each new
   *   state; the error says why it is closed, unless the app closed it.
   * @param {Transport} [options.transport] Opens sessions.
   */
  constructor(source, { onmessage, onstate = () => {}, transport = overWebSocket() }) {
    this.#source = source;
    this.#transport = transport;
    this.#onmessage = onmessage;
    this.#onstate = onstate;
  }

  /**
   * Open the first session. Call it once.
   * @param {Token} [token] An unused token; if left out, it gets a new one. It is checked like an
   *   answer, because the app may have got it by a request that followed redirects.
   * @throws {LivetokenError} The conversation is closed then. Also what `idToken` throws.
   */
  async start(token) {
    if (this.state !== "new") throw new Error("A conversation can start only once.");
    this.#change("connecting");
    const listening = { signal: this.#over.signal };
    globalThis.addEventListener?.("offline", () => this.#offline(), listening);
    try {
      if (token && !isToken(token)) throw foreign();
      const first = token ?? (await getToken(this.#source));
      if (!this.#over.signal.aborted) await this.#open(first);
    } catch (error) {
      if (this.#over.signal.aborted) return;
      this.#end(/** @type {Error} */ (error));
      throw error;
    }
  }

  /**
   * Send a message. Without a connection it waits for the next one; audio that has waited longer
   * than five seconds is dropped.
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

  /** Aborted when the conversation is closed. */
  get signal() {
    return this.#over.signal;
  }

  /** End the conversation. */
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
    if (!(left >= RENEW_AFTER)) return; // the session resumes after its end instead
    this.#renewal = setTimeout(() => {
      this.#due = true;
      this.#resumeIfDue();
    }, left);
  }

  #offline() {
    if (!this.#connection || !this.#handle) return;
    this.#connection.session.close(); // may take minutes without a network
    this.#lost({ code: 1006, reason: "This device is offline." });
  }

  /** @param {{ code: number, reason: string }} end */
  #lost(end) {
    this.#connection = null;
    this.#connections++;
    const isOurMistake = end.code === 1007; // resuming would repeat it
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
        this.#end(ended({ code: 1006, reason: "Each session ended immediately." }));
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
          this.#change("open"); // somebody spoke meanwhile, so wait for the next pause
          break;
        }
        await this.#drop();
        if (this.state === "resuming") await this.#open(token);
      } catch (error) {
        if (this.state !== "resuming") break;
        if (this.#connection) {
          this.#due = false; // the old connection still works
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

  /** End the connection before the next: Gemini refuses two connections of one session. */
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
 * Milliseconds to wait after an attempt: at most half a second, doubled up to eight seconds.
 * @param {number} attempt
 */
const backoff = (attempt) => Math.min(8_000, 500 * 2 ** attempt) * (0.5 + Math.random() / 2);

/**
 * Call the app. Its exceptions are reported like its other errors and stop nothing here.
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
 * Wait, or while the device is offline until it is online; ends when the signal is aborted.
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
