// Sessions with a plain WebSocket and the token in the URL.

/** @type {import("./live.mjs").Connect} */
export function byWebSocket({ name, webSocketUrl }, model, config, { onmessage, onclose }) {
  const socket = new WebSocket(`${webSocketUrl}?access_token=${name}`);
  socket.binaryType = "arraybuffer";
  const send = (/** @type {object} */ message) => socket.send(JSON.stringify(message));
  const { systemInstruction, ...generationConfig } = config;
  const instructed = systemInstruction && {
    systemInstruction: { parts: [{ text: systemInstruction }] },
  };

  return new Promise((resolve, reject) => {
    socket.onopen = () => send({ setup: { model, generationConfig, ...instructed } });
    socket.onclose = (event) => {
      onclose?.(event);
      reject(new Error(event.reason));
    };
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(new TextDecoder().decode(data));
      if (!message.setupComplete) return onmessage(message);
      resolve({
        sendRealtimeInput: (input) => send({ realtimeInput: input }),
        close: () => socket.close(),
      });
    };
  });
}
