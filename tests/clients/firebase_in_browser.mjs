// The app in a browser, for a test to find.

import { firebase } from "./firebase.mjs";
import { take } from "./steps.mjs";

const app = firebase();

Object.assign(window, { app: (/** @type {{step: string}} */ asked) => take(app, asked) });
