/** Shows an error, and what the user can do. */

import { find, make } from "./dom.js";
import { explain } from "./errors.js";

const problem = find("problem", HTMLElement);

/**
 * Show an error.
 * @param {unknown} error
 * @param {boolean} [hasBegun] Whether a conversation had begun.
 */
export function show(error, hasBegun = false) {
  const { says, todo } = explain(/** @type {Error} */ (error), hasBegun);
  const { reason, name, message } = /** @type {Error & { reason?: string }} */ (error);
  const detail = reason?.startsWith("SESSION") ? `${reason}: ${message}` : (reason ?? name);
  problem.replaceChildren(
    make("p", make("strong", says), ` ${todo}`),
    make("p", make("code", detail)),
  );
  problem.scrollIntoView({ block: "nearest" });
  if (!reason) console.error(error);
}

/** Show no error. */
export function clear() {
  problem.replaceChildren();
}
