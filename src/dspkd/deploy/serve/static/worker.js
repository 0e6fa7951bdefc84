// Runs a bundle's network in a worker, so that the page stays responsive. Messages from device.js: {id, action, ...}; replies:
// {id, result} or {id, error, isUserError}, and before that any number of {id, share}.

import * as ort from "./vendor/ort.wasm.bundle.min.mjs";
import { advise } from "./advice.js";
import { heatMap } from "./occlusion.js";
import { decode, preprocess, UserError } from "./image.js";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL("./vendor/ort-wasm-simd-threaded.wasm", import.meta.url).href };

let spec;
let session;
let input; // the network's input for the last image, kept for its heat map

const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Load the network, and check its SHA-256 where the browser offers that (https and localhost). */
async function load({ specification, url, sha256, authorization }) {
  const response = await fetch(url, { headers: authorization });
  if (!response.ok) throw new UserError(`The network could not be loaded (${response.status}).`);
  const model = await response.arrayBuffer();
  if (self.crypto?.subtle && hex(await crypto.subtle.digest("SHA-256", model)) !== sha256) {
    throw new UserError("The loaded network is not the one in the bundle. Load the page again.");
  }
  spec = specification;
  session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
}

/** The logits of `count` images in one array. */
async function logits(images, count) {
  const size = spec.preprocessing.crop.size;
  const tensor = new ort.Tensor("float32", images, [count, 3, size, size]);
  const { logits } = await session.run({ images: tensor });
  tensor.dispose();
  const classes = spec.classes.length;
  return Array.from({ length: count }, (_, n) => Array.from(logits.data.subarray(n * classes, (n + 1) * classes)));
}

/** Calibrated probabilities: softmax of the logits over the bundle's temperature. */
function calibrated(row) {
  const most = Math.max(...row);
  const weights = row.map((logit) => Math.exp((logit - most) / spec.temperature));
  const sum = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / sum);
}

async function predict({ file }) {
  const started = performance.now();
  const bitmap = await decode(file);
  input = preprocess(bitmap, spec.preprocessing);
  bitmap.close();
  const [row] = await logits(input, 1);
  if (!row.every(Number.isFinite)) throw new UserError("The network's output for this image is not finite.");
  const p = calibrated(row);
  const top = p.indexOf(Math.max(...p));
  return {
    ...advise(p, spec),
    probabilities: Object.fromEntries(spec.classes.map(({ id }, k) => [id, p[k]])),
    top: spec.classes[top].id,
    confidence: p[top],
    logits: row,
    seconds: (performance.now() - started) / 1000,
  };
}

async function occlusionMap({ classId }, onProgress) {
  const probabilities = async (images, count) => (await logits(images, count)).map(calibrated);
  const target = spec.classes.findIndex(({ id }) => id === classId);
  return heatMap(probabilities, input, spec.preprocessing.crop.size, target, onProgress);
}

const actions = { load, predict, heatMap: occlusionMap };

onmessage = async ({ data: { id, action, ...parameters } }) => {
  try {
    postMessage({ id, result: await actions[action](parameters, (share) => postMessage({ id, share })) });
  } catch (error) {
    postMessage({ id, error: error.message, isUserError: error instanceof UserError });
  }
};
