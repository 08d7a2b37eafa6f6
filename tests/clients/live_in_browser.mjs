// Clients in a browser, for a test to find.

import { GoogleGenAI } from "@google/genai";
import { live } from "./live.mjs";
import { byGenai } from "./live_genai.mjs";
import { byWebSocket } from "./live_websocket.mjs";
import { take } from "./steps.mjs";

const genai = live(byGenai(GoogleGenAI));
const websocket = live(byWebSocket);

/** @typedef {{step: string}} Asked */
Object.assign(window, {
  genai: (/** @type {Asked} */ asked) => take(genai, asked),
  websocket: (/** @type {Asked} */ asked) => take(websocket, asked),
});
