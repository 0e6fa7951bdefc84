// Predictions on this device: the bundle's network in ONNX Runtime, in a worker. Nothing is sent.

import { UserError } from "./image.js";

export function onDevice(spec, about, authorization) {
  const pending = new Map();
  let worker;
  let loading;
  let last = 0;

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
    worker.onerror = () => {
      for (const { reject } of pending.values()) reject(new UserError("This browser could not start the network."));
      pending.clear();
      loading = undefined;
    };
    const url = new URL(`../bundle/${about.model}`, import.meta.url).href;
    return call("load", { specification: spec, url, sha256: about.sha256, authorization: authorization() });
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
    predict: async (file) => ({ ...(await call("predict", { file })), precision: about.precision }),
    heatMap: (file, classId, onProgress) => call("heatMap", { classId }, onProgress),
  };
}
