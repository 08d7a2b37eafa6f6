/** Keeps an AudioContext running. */

const EVENTS = ["pointerdown", "pointerup", "keydown", "focus", "visibilitychange"];

/**
 * Resume a context that the browser has suspended: before the user's first gesture, while the page
 * is in the background, or during a phone call. It tries at each gesture and when the page gets the
 * focus or becomes visible, until the context is closed.
 * @param {AudioContext} context
 * @param {() => void} [before] Called before each try.
 */
export function keepRunning(context, before = () => {}) {
  const closed = new AbortController();
  const resume = () => {
    if (context.state === "running") return;
    before();
    context.resume().catch(() => {}); // not allowed yet, or closed
  };
  for (const event of EVENTS) {
    addEventListener(event, resume, { capture: true, signal: closed.signal });
  }
  context.addEventListener("statechange", () => {
    if (context.state === "closed") closed.abort();
  });
}
