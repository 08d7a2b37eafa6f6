// Sessions with any version of the SDK.

/**
 * @param {typeof import("@google/genai").GoogleGenAI} GoogleGenAI
 * @returns {import("./live.mjs").Connect}
 */
export function byGenai(GoogleGenAI) {
  return async ({ name, apiVersion, webSocketUrl }, model, config, callbacks) => {
    const baseUrl = `https://${new URL(webSocketUrl).host}`;
    const ai = new GoogleGenAI({ apiKey: name, httpOptions: { apiVersion, baseUrl } });
    return await ai.live.connect({ model, config, callbacks });
  };
}
