// A test controls a client with steps in JSON, one at a time, wherever the client runs.

/** Milliseconds after which a step fails. */
const DEADLINE = 15_000;

/**
 * A client's steps by name; arguments and results are JSON.
 *
 * @typedef {Record<string, (asked: any) => Promise<object>>} Steps
 */

/**
 * Take one step.
 *
 * @param {Steps} steps
 * @param {{step: string}} asked the step's name and its arguments
 * @returns {Promise<object>} the result, or `failed` with the error
 */
export async function take(steps, asked) {
  let timer;
  /** @type {Promise<never>} */
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${asked.step} took too long`)), DEADLINE);
  });
  try {
    return await Promise.race([steps[asked.step](asked), late]);
  } catch (error) {
    return { failed: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  } finally {
    clearTimeout(timer);
  }
}
