// Predictions on the server that this page came from.

import { UserError } from "./image.js";

export function onServer(authorization) {
  async function post(path, file) {
    const body = new FormData();
    body.append("files", file, "image"); // a file's own name may contain a person's name
    let response;
    try {
      response = await fetch(path, { method: "POST", body, headers: authorization() });
    } catch {
      throw new UserError("The server did not respond. Check that it runs and that the image is not too large.");
    }
    const content = await response.json().catch(() => ({}));
    if (response.ok) return content;
    const detail = typeof content.detail === "string" ? content.detail : `status ${response.status}`;
    throw new UserError(`The server refused the image: ${detail}.`);
  }

  return {
    name: "server",
    load: async () => {},
    predict: async (file) => {
      const { predictions, precision } = await post("predict", file);
      return { ...predictions[0], precision };
    },
    heatMap: async (file, classId) => (await post(`heatmap?class_id=${encodeURIComponent(classId)}`, file)).cells.flat(),
  };
}
