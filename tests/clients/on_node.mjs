// A client in Node: on_node.mjs (firebase | websocket | <package of @google/genai>)

import { live } from "./live.mjs";
import { byGenai } from "./live_genai.mjs";
import { byWebSocket } from "./live_websocket.mjs";
import { serve } from "./serve.mjs";

const [, , how] = process.argv;

async function client() {
  if (how === "firebase") return (await import("./firebase.mjs")).firebase();
  return live(how === "websocket" ? byWebSocket : byGenai((await import(how)).GoogleGenAI));
}

await serve(await client());
