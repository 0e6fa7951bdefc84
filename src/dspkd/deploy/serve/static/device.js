// Answers about pictures on this device: the bundle's network in ONNX Runtime, in a worker. Nothing is sent.

import { Trouble } from "./picture.js";

export function onDevice(spec, about, authorization) {
  const waiting = new Map();
  let worker;
  let started;
  let last = 0;

  function ask(what, more = {}, told = () => {}) {
    const id = ++last;
    return new Promise((done, failed) => {
      waiting.set(id, { done, failed, told });
      worker.postMessage({ id, ask: what, ...more });
    });
  }

  function heard({ data: { id, share, done, failed, mendable } }) {
    const asked = waiting.get(id);
    if (share !== undefined) return asked.told(share);
    waiting.delete(id);
    if (failed === undefined) return asked.done(done);
    return asked.failed(mendable ? new Trouble(failed) : new Error(failed));
  }

  function start() {
    worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    worker.onmessage = heard;
    worker.onerror = () => {
      for (const { failed } of waiting.values()) failed(new Trouble("This browser could not start the network."));
      waiting.clear();
      started = undefined;
    };
    const url = new URL(`../bundle/${about.model}`, import.meta.url).href;
    return ask("start", { specification: spec, url, sha256: about.sha256, authorization: authorization() });
  }

  return {
    name: "device",
    /** Load the network; the second time it is there. After a failure it is tried again. */
    ready() {
      started ??= start().catch((error) => {
        started = undefined;
        throw error;
      });
      return started;
    },
    answer: async (file) => ({ ...(await ask("answer", { file })), precision: about.precision }),
    heat: (file, of, told) => ask("heat", { of }, told),
  };
}
