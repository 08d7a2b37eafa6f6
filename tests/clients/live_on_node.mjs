// A client in Node: live_on_node.mjs (websocket | <package of the SDK>)

import { live } from "./live.mjs";
import { byGenai } from "./live_genai.mjs";
import { byWebSocket } from "./live_websocket.mjs";
import { serve } from "./serve.mjs";

const [, , how] = process.argv;
const connect = how === "websocket" ? byWebSocket : byGenai((await import(how)).GoogleGenAI);
await serve(live(connect));
