// An app with the Firebase SDK that calls the function, one app at a time.

import { deleteApp, initializeApp } from "firebase/app";
import { CustomProvider, initializeAppCheck } from "firebase/app-check";
import {
  connectAuthEmulator,
  createUserWithEmailAndPassword,
  GoogleAuthProvider,
  getAuth,
  signInAnonymously,
  signInWithCredential,
  signInWithEmailAndPassword,
  signOut,
} from "firebase/auth";
import { FunctionsError, getFunctions, httpsCallableFromURL } from "firebase/functions";

/**
 * The steps of such an app.
 *
 * @returns {import("./steps.mjs").Steps}
 */
export function firebase() {
  /** @type {import("firebase/app").FirebaseApp | undefined} */
  let app;
  /** @type {import("firebase/auth").Auth} */
  let auth;
  let functionUrl = "";
  let count = 0;

  /** @param {import("firebase/auth").UserCredential} credential */
  const signedIn = ({ user }) => ({ uid: user.uid });

  return {
    /**
     * Start an app, signed out; with App Check if there is a URL for its tokens.
     *
     * @param {{authUrl: string, functionUrl: string, appCheckUrl?: string}} asked
     */
    async start(asked) {
      if (app) await deleteApp(app);
      const options = { apiKey: "made-up", projectId: "demo-livetoken", appId: "1:2:web:3" };
      app = initializeApp(options, `app-${count++}`);
      auth = getAuth(app);
      connectAuthEmulator(auth, asked.authUrl, { disableWarnings: true });
      functionUrl = asked.functionUrl;
      const { appCheckUrl } = asked;
      if (appCheckUrl) {
        const provider = new CustomProvider({
          async getToken() {
            const token = await (await fetch(appCheckUrl)).text();
            return { token, expireTimeMillis: Date.now() + 3_600_000 };
          },
        });
        initializeAppCheck(app, { provider });
      }
      return {};
    },

    /** @param {{email: string, password: string}} asked */
    async signUp({ email, password }) {
      await createUserWithEmailAndPassword(auth, email, password);
      await signOut(auth);
      return {};
    },

    /** @param {{email: string, password: string}} asked */
    async signInWithPassword({ email, password }) {
      return signedIn(await signInWithEmailAndPassword(auth, email, password));
    },

    async signInAnonymously() {
      return signedIn(await signInAnonymously(auth));
    },

    /** @param {{idToken: string}} asked */
    async signInWithGoogle({ idToken }) {
      return signedIn(await signInWithCredential(auth, GoogleAuthProvider.credential(idToken)));
    },

    async refresh() {
      await auth.currentUser?.getIdToken(true);
      return {};
    },

    /** @param {{data: unknown, limitedUseAppCheckTokens: boolean}} asked */
    async call({ data, limitedUseAppCheckTokens }) {
      const functions = getFunctions(app);
      const options = { limitedUseAppCheckTokens };
      try {
        return await httpsCallableFromURL(functions, functionUrl, options)(data);
      } catch (error) {
        if (!(error instanceof FunctionsError)) throw error;
        const { code, message, details = null } = error;
        return { refused: { code, message, details } };
      }
    },
  };
}
