// Predictions on the server that this page came from.

import { UserError } from "./errors.js";
import { isWebPage } from "./files.js";

/** `digest` identifies the bundle of the page: the server must still have it. */
export function onServer(authorization, digest) {
  async function post(path, file) {
    const content = await posted(path, file);
    if (content.bundle !== digest) throw new UserError("The server has another network now. Load the page again.");
    return content;
  }

  async function posted(path, file) {
    const body = new FormData();
    body.append("files", file, "image"); // a file's own name may contain a person's name
    let response;
    try {
      response = await fetch(path, { method: "POST", body, headers: authorization() });
    } catch {
      throw new UserError("The server did not respond. Check that it runs and that the image is not too large.");
    }
    const content = await response.json().catch(() => null);
    if (response.ok && content) return content;
    const { status } = response;
    if (response.ok || ([401, 403].includes(status) && isWebPage(response))) {
      throw new UserError(`In place of a prediction came a web page, perhaps a login. Log in on ${location.host}, then load this page again.`);
    }
    if (!content && status === 413) {
      throw new UserError(
        `The web server refuses a file of this size (${(file.size / 1e6).toFixed(1)} MB). Choose a smaller image, or have its limit raised: in nginx, client_max_body_size.`,
      );
    }
    if (!content) throw new UserError(`There is no prediction: the web server responded with status ${status}. Try again in a minute.`);
    const detail = typeof content.detail === "string" ? content.detail : `status ${status}`;
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
