// Answers about pictures on the server that this page came from.

import { Trouble } from "./picture.js";

export function onServer(authorization) {
  async function post(path, file) {
    const body = new FormData();
    body.append("files", file, "picture"); // a file's own name may name a person
    let response;
    try {
      response = await fetch(path, { method: "POST", body, headers: authorization() });
    } catch {
      throw new Trouble("The server did not answer. Is it running, and the picture not too large?");
    }
    const said = await response.json().catch(() => ({}));
    if (response.ok) return said;
    const detail = typeof said.detail === "string" ? said.detail : `status ${response.status}`;
    throw new Trouble(`The server refused the picture: ${detail}.`);
  }

  return {
    name: "server",
    ready: async () => {},
    answer: async (file) => {
      const { answers, precision } = await post("predict", file);
      return { ...answers[0], precision };
    },
    heat: async (file, of) => (await post(`heatmap?of=${encodeURIComponent(of)}`, file)).cells.flat(),
  };
}
