// How a test asks a client to act: one step at a time, in JSON, wherever the client runs.

/** Milliseconds after which a step has failed. */
const PATIENCE = 15_000;

/**
 * A client's steps by their names; what each takes and answers is JSON.
 *
 * @typedef {Record<string, (asked: any) => Promise<object>>} Steps
 */

/**
 * Take one step.
 *
 * @param {Steps} steps
 * @param {{step: string}} asked the step's name, and what it takes
 * @returns {Promise<object>} what came of it, or `failed`: why nothing did
 */
export async function take(steps, asked) {
  let timer;
  /** @type {Promise<never>} */
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${asked.step} took too long`)), PATIENCE);
  });
  try {
    return await Promise.race([steps[asked.step](asked), late]);
  } catch (error) {
    return { failed: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  } finally {
    clearTimeout(timer);
  }
}
