// Predictions on this device: the bundle's network in ONNX Runtime, in a worker. Nothing is sent.

import { UserError } from "./errors.js";
import { whyNoScript } from "./files.js";

const SCRIPTS = ["vendor/ort.wasm.bundle.min.js", "advice.js", "occlusion.js", "image.js", "sha256.js"]; // that the worker loads

/** `spec` and `about` are those of one bundle, as `openBundle` of bundle.js returns them. */
export function onDevice(spec, about, authorization) {
  const pending = new Map();
  let worker;
  let loading;
  let last = 0;
  let predicted = {}; // the number of the newest prediction, and its file

  function call(action, parameters = {}, onProgress = () => {}) {
    const id = ++last;
    return new Promise((resolve, reject) => {
      pending.set(id, { resolve, reject, onProgress });
      worker.postMessage({ id, action, ...parameters });
    });
  }

  function receive({ data: { id, share, result, error, isUserError } }) {
    const { resolve, reject, onProgress } = pending.get(id);
    if (share !== undefined) return onProgress(share);
    pending.delete(id);
    if (error === undefined) return resolve(result);
    return reject(isUserError ? new UserError(error) : new Error(error));
  }

  function start() {
    worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    worker.onmessage = receive;
    worker.onerror = async () => {
      const waiting = [...pending.values()];
      pending.clear();
      loading = undefined;
      const error = new UserError(`The network could not be started. ${await whyNoScript(["worker.js", ...SCRIPTS], "worker-src")}`);
      for (const { reject } of waiting) reject(error);
    };
    const url = new URL(`../bundle/${about.model}`, import.meta.url).href;
    return call("load", { specification: spec, url, digest: about.sha256, authorization: authorization() });
  }

  return {
    name: "device",
    /** Load the network once; after a failure the next call tries again. */
    load() {
      loading ??= start().catch((error) => {
        loading = undefined;
        throw error;
      });
      return loading;
    },
    async predict(file) {
      predicted = { file, id: last + 1 };
      return { ...(await call("predict", { file })), precision: about.precision };
    },
    /** The heat map of the file that was predicted last. */
    async heatMap(file, classId, onProgress) {
      if (file !== predicted.file) throw new UserError("Another image has been chosen.");
      return call("heatMap", { of: predicted.id, classId }, onProgress);
    },
  };
}
