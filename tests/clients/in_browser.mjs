// All clients in one page, each a function of the window.

import { GoogleGenAI } from "@google/genai";
import { overGenAI } from "../../clients/web/livetoken.js";
import { conversation } from "./conversation.mjs";
import { firebase } from "./firebase.mjs";
import { live } from "./live.mjs";
import { byGenai } from "./live_genai.mjs";
import { byWebSocket } from "./live_websocket.mjs";
import { take } from "./steps.mjs";

const clients = {
  firebase: firebase(),
  conversation: conversation(overGenAI(GoogleGenAI)),
  genai: live(byGenai(GoogleGenAI)),
  websocket: live(byWebSocket),
};

/** @typedef {{step: string}} Asked */
for (const [name, steps] of Object.entries(clients))
  Object.assign(window, { [name]: (/** @type {Asked} */ asked) => take(steps, asked) });
