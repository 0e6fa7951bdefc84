// Runs a bundle's network in a worker, so that the page stays responsive. Messages from device.js: {id, action, ...}; replies:
// {id, result} or {id, error, isUserError}, and before that any number of {id, share}.

import * as ort from "./vendor/ort.wasm.bundle.min.js";
import { advise } from "./advice.js";
import { heatMap } from "./occlusion.js";
import { UserError } from "./errors.js";
import { fetchChecked, fetchFile } from "./files.js";
import { decode, preprocess } from "./image.js";

ort.env.wasm.numThreads = 1;

let spec;
let session;
let newest; // number of the newest prediction: of earlier ones nothing is computed any more
let predicted = {}; // the number of the last prediction, and the network's input for it, kept for its heat map

/** Load the network, and check its SHA-256. */
async function load({ specification, url, digest, authorization }) {
  refuseWithoutWebAssembly();
  const wasm = new URL("./vendor/ort-wasm-simd-threaded.wasm", import.meta.url).href;
  const program = new Uint8Array(await (await fetchFile(wasm, "ONNX Runtime")).arrayBuffer());
  if (String.fromCharCode(...program.subarray(0, 4)) !== "\0asm") {
    throw new UserError(`${wasm} is damaged: it is no WebAssembly. Put the page on the web server again.`);
  }
  ort.env.wasm.wasmBinary = program; // so that its content type does not matter
  const model = await fetchChecked(url, "The network", digest, authorization);
  spec = specification;
  session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
}

function refuseWithoutWebAssembly() {
  try {
    new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
  } catch {
    throw new UserError(
      "WebAssembly, which runs the network, is switched off: by this browser, or by the web server's Content-Security-Policy, " +
        "whose script-src must have 'wasm-unsafe-eval'.",
    );
  }
}

/** Stop where another image has been chosen since. */
function stillWanted(number) {
  if (number !== newest) throw new UserError("Another image has been chosen.");
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

async function predict({ id, file }) {
  const started = performance.now();
  newest = id;
  const image = await decode(file);
  let input;
  try {
    stillWanted(id);
    input = preprocess(image, spec.preprocessing);
  } finally {
    image.close();
  }
  const [row] = await logits(input, 1);
  stillWanted(id);
  predicted = { id, input };
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

/** The heat map of the last prediction, whose number is `of`. */
async function occlusionMap({ of, classId }, onProgress) {
  const { id, input } = predicted;
  const probabilities = async (images, count) => {
    if (id !== of) throw new UserError("Another image has been chosen.");
    stillWanted(of);
    return (await logits(images, count)).map(calibrated);
  };
  const target = spec.classes.findIndex(({ id }) => id === classId);
  return heatMap(probabilities, input, spec.preprocessing.crop.size, target, onProgress);
}

const actions = { load, predict, heatMap: occlusionMap };

onmessage = async ({ data: { id, action, ...parameters } }) => {
  try {
    postMessage({ id, result: await actions[action]({ id, ...parameters }, (share) => postMessage({ id, share })) });
  } catch (error) {
    postMessage({ id, error: error.message, isUserError: error instanceof UserError });
  }
};
