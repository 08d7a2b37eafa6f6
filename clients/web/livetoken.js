/**
 * Gemini Live for apps that get their tokens from livetoken: get a token, connect, and resume when
 * a connection ends. It is one file without dependencies so that an app can copy it.
 *
 *     const source = { url: LIVETOKEN_URL, idToken };
 *     const conversation = new Conversation(source, { onmessage: play, onstate: show });
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
 * @property {Record<string, string | number | boolean>} [choices] What the policy's `choices` offer,
 *   such as `{ voice: "Puck" }`; its defaults if left out.
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
 *   interrupted?: boolean, generationComplete?: boolean, turnComplete?: boolean,
 *   interactionStatus?: string }} [serverContent]
 * @property {{ newHandle?: string, resumable?: boolean }} [sessionResumptionUpdate]
 * @property {{ timeLeft?: string }} [goAway]
 * @property {{ functionCalls?: { id?: string, name?: string, args?: Record<string, unknown> }[] }}
 *   [toolCall]
 * @property {{ ids?: string[] }} [toolCallCancellation]
 */

/**
 * A message of the app, with one of these three fields.
 * @typedef {object} ClientMessage
 * @property {{ turns?: { role?: string, parts?: { text?: string }[] }[], turnComplete?: boolean }}
 *   [clientContent]
 * @property {{ audio?: { data: string, mimeType: string }, video?: { data: string,
 *   mimeType: string }, text?: string, activityStart?: {}, activityEnd?: {},
 *   audioStreamEnd?: boolean }} [realtimeInput] Audio is base64 of 16-bit mono. Write with `text`:
 *   some models take no `clientContent` after the first turn.
 * @property {{ functionResponses: { id?: string, name?: string,
 *   response?: Record<string, unknown>, willContinue?: boolean, scheduling?: string }[] }}
 *   [toolResponse]
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
 * What was lost with a connection.
 * @typedef {object} Lost
 * @property {"nothing" | "last" | "everything"} forgot What Gemini no longer knows of what was
 *   answered: its last turns, which are newer than the handle, or the whole conversation.
 * @property {ClientMessage[]} messages Texts and responses of functions that Gemini did not answer
 *   and that are not sent again.
 * @property {number} audio Milliseconds of speech that it did not answer; it is not sent again.
 * @property {string[]} toolCalls Calls that are void. The conversation drops their responses.
 */

/**
 * First `connecting`, then `open` and `resuming` by turns, and finally `closed`.
 * @typedef {"new" | "connecting" | "open" | "resuming" | "closed"} State
 */

const ANSWER_WITHIN = 15_000; // ms; twice the longest time that livetoken takes
const RENEW_BEFORE = 60_000; // ms before a token expires, to leave at the next pause;
const LAST_PART = 0.2; //    or this part of its life, if that is shorter
const RENEW_AFTER = 30_000; // ms, the minimum even if this device's clock is wrong
const LEAVE_BEFORE = 5_000; // ms before the end of a connection, to leave without a pause
const LEAVE_AGAIN = 10_000; // ms after no token came
const ATTEMPTS = 20; // to get a token, about two minutes; time offline does not count
const OPENS_WITHIN = 15_000; // ms until a session must be open
const REFUSALS = 5; // sessions in a row that ended soon and without a turn
const SOON = 30_000; // ms
const LONGEST_REST = 60_000; // ms between two sessions, if sessions keep ending soon
const TOKENS_A_MINUTE = 6;
const LONGEST_WAIT = 60; // seconds, as a quota per minute needs; with a longer wait the conversation ends
const OWED_FOR = 15_000; // ms in which Gemini should answer
const KEPT_FOR = 30_000; // ms for which unanswered speech is kept
const LOUD = 0.02; // peak of audio with speech, from 0 to 1
const TICK = 250; // ms
const SPEECH_PAUSE = 800; // ms without loud audio after which the user has stopped speaking
const BEFORE_SPEECH = 300; // ms of audio before the first loud one that belong to the speech

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
 * @param {AbortSignal} [signal] Aborts the request.
 * @returns {Promise<Token>}
 * @throws {LivetokenError} Also what `idToken` and `appCheckToken` throw.
 */
export async function getToken(source, resume, signal) {
  const renewed = new Set();
  for (;;) {
    const idToken = await source.idToken(renewed.has("ID_TOKEN_EXPIRED"));
    const appCheckToken = await source.appCheckToken?.(renewed.has("APP_CHECK_FAILED"));
    try {
      return await ask(source, resume, idToken, appCheckToken, signal);
    } catch (error) {
      const { reason } = /** @type {LivetokenError} */ (error);
      const renewable =
        reason === "ID_TOKEN_EXPIRED" || (reason === "APP_CHECK_FAILED" && appCheckToken);
      if (!renewable) throw error;
      if (renewed.has(reason)) {
        throw Object.assign(/** @type {LivetokenError} */ (error), { retryable: false });
      }
      renewed.add(reason);
    }
  }
}

/**
 * @param {Source} source
 * @param {string | undefined} resume
 * @param {string | null} idToken
 * @param {string | undefined} appCheckToken
 * @param {AbortSignal | undefined} over
 * @returns {Promise<Token>}
 */
async function ask({ url, profile, choices }, resume, idToken, appCheckToken, over) {
  const headers = new Headers({ "Content-Type": "application/json" });
  if (idToken) headers.set("Authorization", `Bearer ${idToken}`);
  if (appCheckToken) headers.set("X-Firebase-AppCheck", appCheckToken);
  const body = JSON.stringify({ profile, resume, choices });
  let status;
  let answer;
  const late = new AbortController(); // React Native has no AbortSignal.timeout
  const abort = () => late.abort();
  const timer = setTimeout(abort, ANSWER_WITHIN);
  over?.addEventListener("abort", abort);
  if (over?.aborted) abort();
  try {
    const { signal } = late;
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
  } finally {
    clearTimeout(timer);
    over?.removeEventListener("abort", abort);
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
        send(message) {
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
  (token, { onmessage, onclose, signal }) =>
    new Promise((resolve, reject) => {
      let isOpen = true;
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
          isOpen = false;
          reject(refused(end)); // version 2 never settles connect() if Gemini refuses the session
          onclose(end);
        },
      };
      live.connect({ model: token.model, config, callbacks }).then((/** @type {any} */ live) => {
        signal?.addEventListener("abort", () => live.close());
        resolve({
          send({ clientContent, realtimeInput, toolResponse }) {
            if (!isOpen) return false;
            // The SDK completes a turn that does not say so; a plain socket does not.
            if (clientContent) live.sendClientContent({ turnComplete: false, ...clientContent });
            if (realtimeInput) live.sendRealtimeInput(realtimeInput);
            if (toolResponse) live.sendToolResponse(toolResponse);
            return true;
          },
          close: () => live.close(),
        });
      }, reject);
    });

/** @param {{ code: number, reason: string }} end */
const refused = ({ code, reason }) =>
  new LivetokenError("SESSION_REFUSED", reason || "No session opened.", { code, retryable: true });

/** @param {{ code: number, reason: string }} end */
const ended = ({ code, reason }) =>
  new LivetokenError("SESSION_ENDED", reason || "Connection lost.", { code, retryable: true });

/**
 * One conversation over several connections. It gets a new token with the last handle and resumes
 * at a pause after `goAway` and before a token expires, when a connection is lost, and when the
 * device is online again. What Gemini has not answered is sent again. If Gemini has forgotten the
 * session, or there was no handle yet, the conversation begins anew and says so. Without
 * `session_resumption` in the profile Gemini sends no handles, and a conversation in which
 * something was answered ends with its connection.
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
  #onlost;
  /** @type {{ session: Session, end: Promise<void>, isResumed: boolean } | null} */
  #connection = null;
  #connections = 0;
  /** @type {string | undefined} */
  #handle;
  #canResume = false; // Gemini sends handles
  #turn = new Turn();
  #unanswered = new Unanswered();
  #calls = new Calls();
  #pace = new Pace();
  #mistakes = 0; // connections in a row that ended with 1007
  #leaveAt = Infinity; // leave at the first pause after this time
  #leaveBy = Infinity; // leave even without a pause
  #isResuming = false;
  #wasDeaf = false; // the last resumed session did not answer
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #ticking;
  #over = new AbortController();

  /**
   * @param {Source} source
   * @param {object} options
   * @param {(message: ServerMessage) => void} options.onmessage Called with each message from Gemini.
   * @param {(state: State, error?: Error) => void} [options.onstate] Called with each new
   *   state; the error says why it is closed, unless the app closed it.
   * @param {(lost: Lost) => void} [options.onlost] Called when something was lost.
   * @param {Transport} [options.transport] Opens sessions.
   */
  constructor(
    source,
    { onmessage, onstate = () => {}, onlost = () => {}, transport = overWebSocket() },
  ) {
    this.#source = source;
    this.#transport = transport;
    this.#onmessage = onmessage;
    this.#onstate = onstate;
    this.#onlost = onlost;
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
      const first = token ?? (await getToken(this.#source, undefined, this.#over.signal));
      this.#pace.count();
      if (!this.#over.signal.aborted) await this.#open(first);
    } catch (error) {
      if (this.#over.signal.aborted) return;
      this.#end(/** @type {Error} */ (error));
      throw error;
    }
  }

  /**
   * Send a message. Without a connection it waits for the next one: speech for up to half a minute,
   * and of pictures only the newest. A response to a call that is void is dropped.
   * @param {ClientMessage} message
   * @throws {Error} The conversation is closed.
   */
  send(message) {
    if (this.state === "closed") throw new Error("The conversation is closed.");
    const current = this.#calls.respond(message);
    if (!current) return;
    const isSent = this.#connection?.session.send(current) ?? false;
    this.#unanswered.add(current, isSent);
  }

  /** Aborted when the conversation is closed. */
  get signal() {
    return this.#over.signal;
  }

  /** End the conversation. */
  close() {
    if (this.state !== "closed") this.#end();
  }

  /**
   * @param {Token} token
   * @param {boolean} [isResumed]
   */
  async #open(token, isResumed = false) {
    const number = ++this.#connections;
    const isCurrent = () => number === this.#connections && this.state !== "closed";
    let hasEnded = () => {};
    /** @type {Promise<void>} */
    const end = new Promise((resolve) => {
      hasEnded = resolve;
    });
    let isOpen = false;
    /** @type {{ code: number, reason: string } | undefined} */
    let early;
    this.#turn = new Turn();
    this.#pace.opened();
    const late = new AbortController();
    const opening = this.#transport(token, {
      onmessage: (message) => isCurrent() && this.#take(message),
      onclose: (end) => {
        early = end;
        hasEnded();
        if (isOpen && isCurrent()) this.#lost(end);
      },
      signal: late.signal,
    });
    const session = await Promise.race([opening, pause(OPENS_WITHIN, this.#over.signal)]);
    if (!session || early || !isCurrent()) {
      late.abort();
      opening.then(
        (late) => late.close(),
        () => {},
      );
      if (this.state === "closed") return;
      throw refused(early ?? { code: 1006, reason: "Gemini did not answer." });
    }
    isOpen = true;
    this.#connection = { session, end, isResumed };
    this.token = token;
    const expires = Date.parse(token.expireTime);
    const renew = expires - Math.min(RENEW_BEFORE, (expires - Date.now()) * LAST_PART);
    // If this device's clock is wrong, the session resumes after its end instead.
    [this.#leaveAt, this.#leaveBy] =
      renew - Date.now() >= RENEW_AFTER ? [renew, expires - LEAVE_BEFORE] : [Infinity, Infinity];
    this.#ticking ??= setInterval(() => this.#tick(), TICK);
    const { messages, audio } = this.#unanswered.take();
    for (const message of messages) tell(() => this.send(message));
    this.#change("open");
    this.#sayLost({ audio });
  }

  /** @param {ServerMessage} message */
  #take(message) {
    const { goAway, serverContent, toolCall, toolCallCancellation, sessionResumptionUpdate } =
      message;
    if (serverContent?.modelTurn || serverContent?.turnComplete) {
      this.#pace.works = true;
      this.#mistakes = 0;
      this.#wasDeaf = false;
    }
    const { hasBegun, isOver, isEmpty } = this.#turn.take(message);
    if (serverContent?.modelTurn) this.#unanswered.responded();
    if (hasBegun) this.#unanswered.answering();
    if (isEmpty) this.#sayLost(this.#unanswered.ignored());
    else if (isOver) this.#unanswered.answered();
    if (toolCall) this.#calls.made(toolCall.functionCalls);
    if (toolCallCancellation) this.#calls.cancelled(toolCallCancellation.ids);
    if (sessionResumptionUpdate) this.#canResume = true;
    if (isHandle(sessionResumptionUpdate)) {
      this.#handle = sessionResumptionUpdate.newHandle;
      this.#unanswered.remembered();
      this.#calls.remembered();
    }
    if (goAway) this.#goAway(secondsOf(goAway.timeLeft) * 1_000);
    tell(this.#onmessage, message);
    this.#leaveIfDue();
  }

  /** @param {number} left Milliseconds until the connection ends. */
  #goAway(left) {
    this.#leaveAt = 0;
    const by = Date.now() + left - Math.min(LEAVE_BEFORE, left / 2);
    this.#leaveBy = Math.min(this.#leaveBy, by);
  }

  #tick() {
    if (!this.#connection) return;
    if (this.#turn.isGoing || !this.#unanswered.isOverdue) return this.#leaveIfDue();
    if (this.#connection.isResumed && !this.#pace.works && !this.#wasDeaf) {
      this.#wasDeaf = true;
      const { session } = this.#connection;
      this.#lost({ code: 1006, reason: "Gemini did not answer." });
      return session.close();
    }
    this.#sayLost(this.#unanswered.ignored());
  }

  /** Whether leaving now cuts nothing off, and Gemini remembers everything on resuming. */
  get #isPause() {
    return (
      this.#turn.isSaved &&
      !this.#turn.isGoing &&
      !this.#unanswered.isOwed &&
      !this.#unanswered.isSpeaking &&
      !this.#calls.areOpen
    );
  }

  #leaveIfDue() {
    if (!this.#connection || !this.#handle) return;
    const now = Date.now();
    if (now >= this.#leaveBy || (now >= this.#leaveAt && this.#isPause)) this.#resume();
  }

  #offline() {
    if (!this.#connection) return;
    const { session } = this.#connection;
    this.#lost({ code: 1006, reason: "This device is offline." });
    session.close(); // may take minutes without a network
  }

  /** @param {{ code: number, reason: string }} end */
  #lost(end) {
    this.#connection = null;
    this.#connections++;
    this.#pace.ended();
    const isMistake = end.code === 1007; // sending the same again would repeat it
    this.#mistakes += isMistake ? 1 : 0;
    const canGoOn = this.#handle || this.#canResume || !this.#unanswered.hasAnswers;
    if (!canGoOn || this.#mistakes > 1 || this.#pace.isHopeless) return this.#end(ended(end));
    this.#forget({ anew: !this.#handle, sent: isMistake });
    this.#resume();
  }

  /**
   * Forget what Gemini does not know when the session resumes or begins anew, and say so.
   * @param {{ anew?: boolean, sent?: boolean }} how `sent` if what was sent is not sent again.
   */
  #forget({ anew = false, sent = false }) {
    if (anew) this.#handle = undefined;
    const toolCalls = this.#calls.lose(anew);
    this.#sayLost({ ...this.#unanswered.lose({ anew, sent }), toolCalls });
  }

  /** @param {Partial<Lost>} lost */
  #sayLost({ forgot = "nothing", messages = [], audio = 0, toolCalls = [] }) {
    if (forgot === "nothing" && !messages.length && !audio && !toolCalls.length) return;
    tell(this.#onlost, { forgot, messages, audio: Math.round(audio), toolCalls });
  }

  async #resume() {
    if (this.#isResuming || this.state === "closed") return;
    this.#isResuming = true;
    this.#leaveAt = this.#leaveBy = Infinity;
    this.#change("resuming");
    for (let attempt = 0; this.state === "resuming"; attempt++) {
      let token;
      const handle = this.#handle;
      try {
        await this.#pace.wait(this.#over.signal);
        if (this.state !== "resuming") break;
        token = await getToken(this.#source, handle, this.#over.signal);
        this.#pace.count();
        if (handle !== this.#handle) continue; // it would forget the last turn
        await this.#drop();
        if (this.state === "resuming") await this.#open(token, Boolean(handle));
      } catch (error) {
        if (this.state !== "resuming") break;
        const { code, retryable = true, retryAfterSeconds } = /** @type {any} */ (error);
        if (this.#connection) {
          if (retryable) this.#leaveAt = Date.now() + (retryAfterSeconds * 1_000 || LEAVE_AGAIN);
          this.#change("open"); // the old connection still works
          break;
        }
        if (token) this.#pace.refused();
        if (token && code === 1008 && handle) {
          this.#forget({ anew: true }); // Gemini does not know the handle
          continue;
        }
        if (isOffline()) attempt = 0;
        const isLast = this.#pace.isHopeless || attempt === ATTEMPTS;
        if (isLast || !retryable || retryAfterSeconds > LONGEST_WAIT) {
          this.#end(/** @type {Error} */ (error));
          break;
        }
        const wait = Math.max((retryAfterSeconds ?? 0) * 1_000, backoff(attempt));
        await pause(wait, this.#over.signal);
      }
    }
    this.#isResuming = false;
    if (this.state === "open" && !this.#connection) this.#resume(); // lost while `onstate` ran
  }

  /** End the connection before the next: Gemini refuses two connections of one session. */
  async #drop() {
    if (!this.#connection) return;
    const { session, end } = this.#connection;
    this.#connection = null;
    this.#connections++;
    this.#pace.ended();
    this.#forget({});
    session.close();
    await Promise.race([end, pause(1_000, this.#over.signal)]);
  }

  /** @param {Error} [error] */
  #end(error) {
    clearInterval(this.#ticking);
    this.state = "closed";
    this.#over.abort();
    this.#connection?.session.close();
    this.#connection = null;
    this.#unanswered = new Unanswered();
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

/** What Gemini says about the current turn. */
class Turn {
  isGoing = false; // it answers, or thinks on
  isSaved = true; // the last handle has all that was answered
  #hasContent = false;
  #isGenerated = false;

  /**
   * @param {ServerMessage} message
   * @returns {{ hasBegun: boolean, isOver: boolean, isEmpty: boolean }} What the message means for
   *   the turn; it is empty if it ended without content.
   */
  take({ serverContent: content, toolCall, sessionResumptionUpdate: update }) {
    const hasContent = Boolean(content?.modelTurn || toolCall);
    const hasBegun = hasContent && (!this.isGoing || this.#isGenerated);
    if (hasContent) {
      this.isGoing = this.#hasContent = true;
      this.isSaved = this.#isGenerated = false;
    }
    this.#isGenerated ||= Boolean(content?.generationComplete);
    const isComplete =
      Boolean(content?.turnComplete) && content?.interactionStatus !== "IN_PROGRESS";
    if (content?.turnComplete && !isComplete) {
      this.isGoing = true; // it thinks on
      this.#isGenerated = false;
    }
    // Sometimes `turnComplete` does not come. The handle comes after the turn.
    const isSurelyOver = this.isGoing && this.#isGenerated && isHandle(update);
    this.isSaved ||= isHandle(update);
    const isOver = isComplete || isSurelyOver || Boolean(content?.interrupted);
    const isEmpty = isComplete && !this.#hasContent;
    if (isOver) this.isGoing = this.#isGenerated = false;
    if (isComplete || isSurelyOver) this.#hasContent = false;
    return { hasBegun, isOver, isEmpty };
  }
}

/**
 * What the user and the app have said, until it is answered.
 * @typedef {object} Kept
 * @property {ClientMessage} message
 * @property {number} at When, in ms.
 * @property {number} speech Milliseconds of loud audio.
 * @property {boolean} asks Whether Gemini should answer.
 * @property {boolean} isSent
 * @property {boolean} isAnswering
 * @property {boolean} isKnown To the last handle.
 */
class Unanswered {
  /** Whether anything was answered in this session. */
  hasAnswers = false;
  /** @type {Kept[]} */
  #kept = [];
  /** @type {Kept[]} Audio that may be the start of speech. */
  #quiet = [];
  /** @type {{ message: ClientMessage, isSent: boolean } | null} The newest. */
  #picture = null;
  #hasNews = false; // something was answered after the last handle
  #dropped = 0; // ms of speech
  #loudAt = -Infinity;
  #speechAt = -Infinity; // when the current or last speech began
  #answeredAt = -Infinity;
  #isActive = false; // between activityStart and activityEnd

  /**
   * @param {ClientMessage} message
   * @param {boolean} isSent
   */
  add(message, isSent) {
    const { audio, video, activityStart, activityEnd, audioStreamEnd } =
      message.realtimeInput ?? {};
    const at = Date.now();
    if (video) {
      this.#picture = { message, isSent };
      return;
    }
    const speech = audio && isLoud(audio) ? lengthOf(audio) : 0;
    const asks = speech > 0 || isQuestion(message);
    const kept = { message, at, speech, asks, isSent, isAnswering: false, isKnown: false };
    const wasSpeaking = this.isSpeaking;
    if (activityStart) this.#isActive = true;
    if (activityEnd) this.#isActive = false;
    if (speech) this.#loudAt = at;
    if (audio && !this.isSpeaking) {
      this.#quiet = [...this.#quiet.filter((each) => at - each.at <= BEFORE_SPEECH), kept];
      return;
    }
    if (!wasSpeaking) this.#speechAt = this.#quiet[0]?.at ?? at;
    if (audioStreamEnd) this.#loudAt = -Infinity;
    this.#kept.push(...this.#quiet.splice(0), kept);
    this.#prune();
  }

  get isSpeaking() {
    return this.#isActive || Date.now() - this.#loudAt < SPEECH_PAUSE;
  }

  /** Whether Gemini should answer soon. */
  get isOwed() {
    return this.#owedFor <= OWED_FOR;
  }

  /** Whether Gemini should have answered the user. */
  get isOverdue() {
    const hasAsked = this.#kept.some(({ message, asks, isSent }) =>
      Boolean(asks && isSent && !message.toolResponse),
    );
    return hasAsked && this.#owedFor > OWED_FOR;
  }

  /** Milliseconds for which Gemini has owed an answer; NaN if it owes none. */
  get #owedFor() {
    const asked = this.#kept.filter(({ asks, isSent }) => asks && isSent).at(-1);
    return asked ? Date.now() - Math.max(asked.at, this.#answeredAt) : Number.NaN;
  }

  /** A turn has gone on: responses of functions need no further answer. */
  responded() {
    for (const kept of this.#kept) if (kept.message.toolResponse && kept.isSent) kept.asks = false;
  }

  /** An answer to what was sent has begun. It is not an answer to speech that still goes on. */
  answering() {
    const speechAt = this.isSpeaking ? this.#speechAt : Infinity;
    for (const kept of this.#kept) {
      const isCurrent = kept.message.realtimeInput?.audio && kept.at >= speechAt;
      if (kept.isSent && !isCurrent) kept.isAnswering = true;
    }
    this.#dropped = 0;
  }

  /** The answer is over. */
  answered() {
    this.#answeredAt = Date.now();
    this.#drop(({ isAnswering }) => isAnswering);
    this.hasAnswers = this.#hasNews = true;
  }

  /** A handle has come: it knows every answer, and the responses of functions before it. */
  remembered() {
    this.#hasNews = false;
    const isResponse = (/** @type {Kept} */ { message, isSent }) =>
      isSent && message.toolResponse !== undefined;
    this.#drop((kept) => isResponse(kept) && !kept.asks);
    for (const kept of this.#kept) kept.isKnown ||= isResponse(kept);
    if (this.#picture?.isSent) this.#picture = null;
  }

  /** Drop what was sent and is not answered. */
  ignored() {
    return this.#drop(({ isSent, isAnswering }) => isSent && !isAnswering);
  }

  /**
   * Prepare for the next session, which knows only what the last handle knows.
   * @param {{ anew: boolean, sent: boolean }} how `anew` if there is no handle; `sent` to drop what
   *   was sent.
   * @returns {Omit<Lost, "toolCalls">}
   */
  lose({ anew, sent }) {
    this.#prune();
    const hasForgotten = anew ? this.hasAnswers : this.#hasNews;
    const lost = this.#drop(
      ({ message, isSent, isKnown }) =>
        (sent && isSent) || (message.toolResponse !== undefined && (anew || isKnown)),
    );
    if (sent) this.#quiet = this.#quiet.filter(({ isSent }) => !isSent);
    if (sent && this.#picture?.isSent) this.#picture = null;
    for (const kept of this.#kept) kept.isSent = kept.isAnswering = false;
    const audio = lost.audio + this.#dropped;
    this.#dropped = 0;
    this.#hasNews = false;
    if (anew) this.hasAnswers = false;
    const forgot = hasForgotten ? (anew ? "everything" : "last") : "nothing";
    return { messages: lost.messages, audio, forgot };
  }

  /** Take what is to be sent, in order, and the milliseconds of speech that are too old for it. */
  take() {
    this.#prune();
    const audio = this.#dropped;
    this.#dropped = 0;
    const all = [...(this.#picture ? [this.#picture] : []), ...this.#kept, ...this.#quiet];
    this.#picture = null;
    this.#kept = [];
    this.#quiet = [];
    return { messages: all.map(({ message }) => message), audio };
  }

  /** Drop speech that is too old to be answered. */
  #prune() {
    const since = Date.now() - KEPT_FOR;
    const isOld = (/** @type {Kept} */ { message, at }) =>
      message.realtimeInput?.audio !== undefined && at < since;
    this.#dropped += this.#drop(isOld).audio;
  }

  /**
   * @param {(kept: Kept) => boolean} isDropped
   * @returns What the app should know of it.
   */
  #drop(isDropped) {
    const dropped = this.#kept.filter(isDropped);
    this.#kept = this.#kept.filter((kept) => !isDropped(kept));
    return {
      messages: dropped.filter(({ asks, speech }) => asks && !speech).map(({ message }) => message),
      audio: dropped.reduce((sum, { speech }) => sum + speech, 0),
    };
  }
}

/** Calls of the app's functions. */
class Calls {
  /** @type {Map<string, { isOpen: boolean, isKnown: boolean }>} `isKnown` to the last handle. */
  #made = new Map();
  /** @type {Set<string>} */
  #void = new Set();

  get areOpen() {
    return [...this.#made.values()].some(({ isOpen }) => isOpen);
  }

  /** @param {{ id?: string }[]} [calls] */
  made(calls = []) {
    for (const { id = "" } of calls) {
      this.#made.set(id, { isOpen: true, isKnown: false });
      this.#void.delete(id);
    }
  }

  /** @param {string[]} [ids] */
  cancelled(ids = []) {
    for (const id of ids) {
      this.#made.delete(id);
      this.#void.add(id);
    }
  }

  remembered() {
    for (const [id, call] of this.#made) {
      if (call.isOpen) call.isKnown = true;
      else this.#made.delete(id);
    }
  }

  /**
   * @param {boolean} all Also those that a handle knows.
   * @returns {string[]} The calls that are void now.
   */
  lose(all) {
    const lost = [...this.#made].filter(([, { isKnown }]) => all || !isKnown).map(([id]) => id);
    this.cancelled(lost);
    return lost;
  }

  /**
   * Take the responses in a message.
   * @param {ClientMessage} message
   * @returns {ClientMessage | null} The message without responses to void calls.
   */
  respond(message) {
    if (!message.toolResponse) return message;
    const { functionResponses } = message.toolResponse;
    const current = functionResponses.filter(({ id }) => !this.#void.has(id ?? ""));
    for (const { id, willContinue } of current) {
      const call = this.#made.get(id ?? "");
      if (call && !willContinue) call.isOpen = false;
    }
    return current.length ? { toolResponse: { functionResponses: current } } : null;
  }
}

/**
 * When the next token may be asked for, whatever Gemini says. It uses the monotonic clock: the
 * device's clock can be set.
 */
class Pace {
  /** Whether there was a turn in this session. */
  works = false;
  /** @type {number[]} When the tokens of the last minute came. */
  #tokens = [];
  #openedAt = 0; // of the last session
  #endedAt = 0;
  #failures = 0; // sessions in a row that ended soon and without a turn, or did not open
  #restless = 0; // sessions in a row that ended soon

  /** A token has come. */
  count() {
    const now = performance.now();
    this.#tokens = [...this.#tokens.filter((at) => at > now - 60_000), now];
  }

  opened() {
    this.works = false;
    this.#openedAt = performance.now();
  }

  ended() {
    this.#endedAt = performance.now();
    const isSoon = this.#endedAt - this.#openedAt < SOON;
    if (this.works) this.#failures = 0;
    else if (isSoon) this.#failures++;
    if (isSoon) this.#restless++;
    else if (this.works) this.#restless = 0;
  }

  /** A session was refused. */
  refused() {
    this.#endedAt = performance.now();
    this.#failures++;
    this.#restless++;
  }

  get isHopeless() {
    return this.#failures >= REFUSALS;
  }

  /** @param {AbortSignal} signal */
  async wait(signal) {
    const rest = this.#restless ? backoff(this.#restless - 1, LONGEST_REST) : 0;
    const until = this.#endedAt + rest;
    for (;;) {
      const [oldest] = this.#tokens.slice(-TOKENS_A_MINUTE);
      const isFull = this.#tokens.length >= TOKENS_A_MINUTE;
      const left = Math.max(until, isFull ? oldest + 60_000 : 0) - performance.now();
      if (left <= 0 || signal.aborted) return;
      await pause(left, signal);
    }
  }
}

/** @param {ClientMessage} message Whether Gemini answers it; audio is judged by its sound. */
const isQuestion = ({ clientContent, realtimeInput, toolResponse }) =>
  clientContent?.turnComplete === true ||
  realtimeInput?.text !== undefined ||
  (toolResponse?.functionResponses.some(({ scheduling }) => scheduling !== "SILENT") ?? false);

/**
 * @param {ServerMessage["sessionResumptionUpdate"]} update
 * @returns {update is { newHandle: string, resumable: true }}
 */
const isHandle = (update) => Boolean(update?.resumable && update.newHandle);

/** @param {{ data: string, mimeType: string }} audio Milliseconds of 16-bit mono audio. */
const lengthOf = ({ data, mimeType }) =>
  (data.length * 0.75 * 500) / Number(/rate=(\d+)/.exec(mimeType)?.[1] ?? 16_000);

/** @param {{ data: string }} audio */
function isLoud({ data }) {
  try {
    const bytes = atob(data);
    for (let n = 1; n < bytes.length; n += 8) {
      const high = bytes.charCodeAt(n); // the upper byte of a sample
      if (Math.abs(high < 128 ? high : high - 255) > LOUD * 128) return true;
    }
    return false;
  } catch {
    return true; // in the other alphabet of base64
  }
}

/** @param {string} [duration] As in `50s`. */
const secondsOf = (duration) => Number.parseFloat(duration ?? "") || 0;

const isOffline = () => globalThis.navigator?.onLine === false;

/**
 * Milliseconds to wait after an attempt: at most half a second, doubled each time.
 * @param {number} attempt From 0.
 * @param {number} [most]
 */
const backoff = (attempt, most = 8_000) =>
  Math.min(most, 500 * 2 ** attempt) * (0.5 + Math.random() / 2);

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
