// Lets a client in Node take its steps from standard input.

import { createInterface } from "node:readline";
import { take } from "./steps.mjs";

/**
 * Take one step per line until the input ends.
 *
 * @param {import("./steps.mjs").Steps} steps
 */
export async function serve(steps) {
  for await (const line of createInterface({ input: process.stdin }))
    process.stdout.write(`${JSON.stringify(await take(steps, JSON.parse(line)))}\n`);
  process.exit();
}
