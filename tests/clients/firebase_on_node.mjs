// The app in Node.

import { firebase } from "./firebase.mjs";
import { serve } from "./serve.mjs";

await serve(firebase());
