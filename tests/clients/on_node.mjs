// A client in Node:
//   on_node.mjs (firebase | websocket | <package of @google/genai>)
//   on_node.mjs livetoken (websocket | <package of @google/genai>), with livetoken.js

import { overGenAI, overWebSocket } from "../../clients/web/livetoken.js";
import { conversation } from "./conversation.mjs";
import { live } from "./live.mjs";
import { byGenai } from "./live_genai.mjs";
import { byWebSocket } from "./live_websocket.mjs";
import { serve } from "./serve.mjs";

const [, , how, by] = process.argv;

async function client() {
  if (how === "firebase") return (await import("./firebase.mjs")).firebase();
  if (how === "livetoken") {
    return conversation(by === "websocket" ? overWebSocket() : overGenAI(await sdk(by)));
  }
  return live(how === "websocket" ? byWebSocket : byGenai(await sdk(how)));
}

/** @param {string} name */
const sdk = async (name) => (await import(name)).GoogleGenAI;

await serve(await client());
