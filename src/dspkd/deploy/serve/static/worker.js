// Runs a bundle's network beside the page, so that the page stays alive. Speaks with device.js: {id, ask, ...} brings
// {id, done} or {id, failed, mendable}, and before that any number of {id, share}.

import * as ort from "./vendor/ort.wasm.bundle.min.mjs";
import { heatMap } from "./occlusion.js";
import { decode, picture, Trouble } from "./picture.js";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL("./vendor/ort-wasm-simd-threaded.wasm", import.meta.url).href };

let spec;
let session;
let seen; // the last picture, for its heat map

const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Load the network, and compare it with its checksum where the browser offers that (https and localhost). */
async function start({ specification, url, sha256, authorization }) {
  const response = await fetch(url, { headers: authorization });
  if (!response.ok) throw new Trouble(`The network could not be loaded (${response.status}).`);
  const model = await response.arrayBuffer();
  if (self.crypto?.subtle && hex(await crypto.subtle.digest("SHA-256", model)) !== sha256) {
    throw new Trouble("The network that came is not the one in the bundle. Load the page again.");
  }
  spec = specification;
  session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
}

/** The logits of `count` pictures that lie one after the other. */
async function logits(pictures, count) {
  const size = spec.preprocessing.crop.size;
  const images = new ort.Tensor("float32", pictures, [count, 3, size, size]);
  const { logits } = await session.run({ images });
  images.dispose();
  const classes = spec.classes.length;
  return Array.from({ length: count }, (_, n) => Array.from(logits.data.subarray(n * classes, (n + 1) * classes)));
}

/** Probabilities: softmax of logits over the bundle's temperature. */
function calibrated(row) {
  const most = Math.max(...row);
  const weights = row.map((logit) => Math.exp((logit - most) / spec.temperature));
  const sum = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / sum);
}

async function answer({ file }) {
  const started = performance.now();
  const bitmap = await decode(file);
  seen = picture(bitmap, spec.preprocessing);
  bitmap.close();
  const [row] = await logits(seen, 1);
  if (!row.every(Number.isFinite)) throw new Trouble("The network gave no finite numbers for this picture.");
  const p = calibrated(row);
  const top = p.indexOf(Math.max(...p));
  return {
    probabilities: Object.fromEntries(spec.classes.map(({ id }, k) => [id, p[k]])),
    top: spec.classes[top].id,
    confidence: p[top],
    refer: p[top] < spec.thresholds.refer_below,
    logits: row,
    seconds: (performance.now() - started) / 1000,
  };
}

async function heat({ of }, told) {
  const asked = async (pictures, count) => (await logits(pictures, count)).map(calibrated);
  const k = spec.classes.findIndex(({ id }) => id === of);
  return heatMap(asked, seen, spec.preprocessing.crop.size, k, told);
}

const asks = { start, answer, heat };

onmessage = async ({ data: { id, ask, ...rest } }) => {
  try {
    postMessage({ id, done: await asks[ask](rest, (share) => postMessage({ id, share })) });
  } catch (error) {
    postMessage({ id, failed: error.message, mendable: error instanceof Trouble });
  }
};
