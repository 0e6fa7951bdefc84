// The page: takes an image, runs the chosen network, shows the prediction.

import { openBundle } from "./bundle.js";
import { rendered } from "./card.js";
import { onDevice } from "./device.js";
import { TokenError, UserError } from "./errors.js";
import { decode } from "./image.js";
import { keepForOffline } from "./offline.js";
import { onServer } from "./server.js";
import { at, clearImage, clearPrediction, drawImage, framed, heatInWords, showPrediction, UNFRAMED } from "./show.js";
import { begin, Superseded } from "./steps.js";

const modes = document.body.dataset.modes.split(" ");
let token = "";
const authorization = () => (token ? { Authorization: `Bearer ${token}` } : {});

let spec;
let about;
let networks;
let mode;
let file; // the file on the page, predicted again when the mode changes
let preview = null; // { image, cells } of that file

/** Show a status; `screenReaderOnly`: the page shows the same elsewhere. */
function setStatus(text, { screenReaderOnly = false } = {}) {
  at("status").textContent = text;
  at("status").classList.toggle("visually-hidden", screenReaderOnly);
}

function inWords(error) {
  if (error instanceof UserError) return error.message;
  console.error(error);
  return `Something went wrong: ${error.message}`;
}

/** Show an error, and nothing else: no image, and no prediction. */
function showError(error) {
  clear();
  at("error").textContent = inWords(error);
  at("error").hidden = false;
  setStatus("");
  at("empty").textContent = "No prediction.";
  at("empty").hidden = false;
}

function showProgress(share) {
  at("progress").hidden = share === null;
  at("progress").firstElementChild.style.setProperty("--done", `${100 * (share ?? 0)}%`);
}

function redraw() {
  if (preview) drawImage(preview.image, spec, at("show-heat").checked ? preview.cells : null);
}

/** Take the image, the heat map and the prediction of an earlier file off the page, so that none stands beside the next one's. */
function clear() {
  for (const id of ["error", "preview", "prediction", "empty"]) at(id).hidden = true;
  clearImage();
  clearPrediction();
  preview?.image.close();
  preview = null;
  showProgress(null);
}

/** Show the chosen image, before its prediction. */
function showImage(image) {
  preview = { image, cells: null };
  at("preview").hidden = false;
  at("canvas").setAttribute("aria-label", framed(spec) ? "The image; the frame is the part that the network sees" : "The image");
  at("heat-text").textContent = framed(spec) ? "The frame is the part that the network sees." : UNFRAMED;
  redraw();
}

/** Predict an image, then compute its heat map. Each step stops where another image or mode has been chosen meanwhile. */
async function predict(file) {
  const step = begin();
  const network = networks[mode];
  const where = mode === "device" ? "computed on this device" : "computed on the server";
  clear();
  try {
    setStatus("Reading the image…");
    showImage(await step(decode(file), (late) => late.close()));
    setStatus(mode === "device" ? "Loading the network…" : "Sending the image…");
    await step(network.load());
    setStatus("Computing…");
    const prediction = await step(network.predict(file));
    showPrediction(prediction, spec, about.limits, where);
    setStatus([prediction.advice, ...prediction.reasons, "No diagnosis."].join(" "), { screenReaderOnly: true });
    if (framed(spec)) await explain(step, network, file, prediction);
  } catch (error) {
    if (!(error instanceof Superseded)) showError(error);
  }
}

/** Compute and show the heat map of a prediction; without it, the prediction stays. */
async function explain(step, network, file, { top }) {
  const { name } = spec.classes.find(({ id }) => id === top);
  let cells;
  showProgress(0);
  try {
    cells = await step(network.heatMap(file, top, (share) => step.isLate() || showProgress(share)));
  } catch (error) {
    if (error instanceof Superseded) throw error;
    showProgress(null);
    at("heat-text").textContent = `There is no heat map. ${inWords(error)}`;
    return;
  }
  showProgress(null);
  preview.cells = cells;
  at("heat-text").textContent = heatInWords(cells, name);
  at("canvas").setAttribute("aria-label", `The image with a heat map. ${heatInWords(cells, name)}`);
  at("heat-toggle").hidden = false;
  redraw();
}

/** Predict the one file that was chosen, dropped or pasted; of anything else, say what it is. */
function take(files, otherwise) {
  if (!networks) return; // a token comes first
  if (files.length === 1) return predict((file = files[0]));
  file = undefined;
  begin();
  showError(new UserError(files.length ? `These are ${files.length} files. Choose one image at a time.` : otherwise));
}

function chooseMode(name) {
  mode = name;
  for (const radio of document.querySelectorAll("#modes input")) radio.checked = radio.value === name;
  if (file) predict(file);
}

const NO_FILE = "This is no file, but a link or text. Save the image on this device, then choose it here.";

function listen() {
  for (const id of ["file", "camera"]) {
    at(id).addEventListener("change", (event) => {
      if (event.target.files.length) take(event.target.files);
      event.target.value = ""; // so that the same image can be chosen again
    });
  }
  const drop = at("drop");
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop") take(event.dataTransfer.files, NO_FILE);
    });
  }
  document.addEventListener("paste", (event) => take(event.clipboardData.files, "There is no image in the clipboard."));
  at("modes").addEventListener("change", (event) => chooseMode(event.target.value));
  at("show-heat").addEventListener("change", redraw);
  at("print").addEventListener("click", () => print());
}

/** Open the bundle; null if the server requires a token first. */
async function opened() {
  try {
    return await openBundle(authorization());
  } catch (error) {
    if (error instanceof TokenError) return null;
    throw error;
  }
}

async function open() {
  const bundle = await opened();
  at("token-form").hidden = Boolean(bundle);
  at("work").hidden = !bundle;
  if (!bundle) {
    at("token").focus();
    return token && showTokenError();
  }
  ({ spec, about } = bundle);
  networks = { device: onDevice(spec, about, authorization), server: onServer(authorization, about.digest) };
  at("model-name").textContent = spec.name;
  at("bundle-digest").textContent = about.digest.slice(0, 16);
  if (about.model) at("device-size").textContent = `up to ${Math.ceil(about.device_bytes / 1e6)} MB, once`;
  at("host").textContent = location.host;
  for (const element of document.querySelectorAll("[data-framed]")) element.hidden = !framed(spec);
  at("model-card").append(rendered(bundle.card));
  for (const element of document.querySelectorAll("[data-mode]")) element.hidden = !modes.includes(element.dataset.mode);
  chooseMode(modes[0]);
  document.body.dataset.ready = "yes";
  keepForOffline((line) => (at("offline").textContent = line)).catch(() => {}); // the page works without it
}

function showTokenError() {
  document.querySelector("label[for=token]").textContent = "This token is wrong. Please try again.";
}

at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value.trim();
  open().catch(showError);
});
at("start").remove(); // the scripts have loaded
document.documentElement.classList.toggle("touch", navigator.maxTouchPoints > 0); // such a device most likely has a camera
listen();
open().catch(showError);
