// The page: takes an image, runs the chosen network, shows the prediction.

import { rendered } from "./card.js";
import { onDevice } from "./device.js";
import { UserError } from "./image.js";
import { onServer } from "./server.js";
import { at, drawImage, heatInWords, showPrediction } from "./show.js";

const modes = document.body.dataset.modes.split(" ");
let token = "";
const authorization = () => (token ? { Authorization: `Bearer ${token}` } : {});

let spec;
let about;
let networks;
let mode;
let file; // the file on the page, predicted again when the mode changes
let preview = null; // { bitmap, cells } of that file
let current = 0; // number of the current prediction; late results of earlier ones are dropped

/** Show a status; `screenReaderOnly`: the page shows the same elsewhere. */
function setStatus(text, { screenReaderOnly = false } = {}) {
  at("status").textContent = text;
  at("status").classList.toggle("visually-hidden", screenReaderOnly);
}

function showError(error) {
  if (!(error instanceof UserError)) console.error(error);
  at("error").textContent = error instanceof UserError ? error.message : `Something went wrong: ${error.message}`;
  at("error").hidden = false;
  setStatus("");
  at("progress").hidden = true;
  at("empty").textContent = "No prediction.";
  at("empty").hidden = !at("prediction").hidden;
}

function showProgress(share) {
  at("progress").hidden = share === null;
  at("progress").firstElementChild.style.setProperty("--done", `${100 * (share ?? 0)}%`);
}

function redraw() {
  if (preview) drawImage(preview.bitmap, spec.preprocessing, at("show-heat").checked ? preview.cells : null);
}

async function decoded(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new UserError("This is not a JPEG, PNG or WebP image, or it is damaged.");
  }
}

/** Take the image and the prediction of an earlier file off the page, so that neither stands beside the next one's. */
function clear() {
  for (const id of ["error", "preview", "prediction", "empty"]) at(id).hidden = true;
  preview?.bitmap.close();
  preview = null;
  showProgress(null);
}

/** Show the chosen image, before its prediction. */
function showImage(bitmap) {
  preview = { bitmap, cells: null };
  at("preview").hidden = false;
  at("canvas").setAttribute("aria-label", "The image; the frame is the part that the network sees");
  at("heat-toggle").hidden = true;
  at("heat-text").textContent = "The frame is the part that the network sees.";
  redraw();
}

/** Predict an image, then compute its heat map. */
async function predict(file) {
  const number = ++current;
  const isLate = () => number !== current;
  const network = networks[mode];
  const where = mode === "device" ? "computed on this device" : "computed on the server";
  clear();
  try {
    const bitmap = await decoded(file);
    if (isLate()) return bitmap.close();
    showImage(bitmap);
    setStatus(mode === "device" ? "Loading the network…" : "Sending the image…");
    await network.load();
    if (isLate()) return;
    setStatus("Computing…");
    const prediction = await network.predict(file);
    if (isLate()) return;
    const { name } = spec.classes.find(({ id }) => id === prediction.top);
    showPrediction(prediction, spec, about.limits, where);
    setStatus([prediction.advice, ...prediction.reasons, "No diagnosis."].join(" "), { screenReaderOnly: true });
    showProgress(0);
    const cells = await network.heatMap(file, prediction.top, (share) => isLate() || showProgress(share));
    if (isLate()) return;
    showProgress(null);
    preview.cells = cells;
    at("heat-text").textContent = heatInWords(cells, name);
    at("canvas").setAttribute("aria-label", `The image with a heat map. ${heatInWords(cells, name)}`);
    at("heat-toggle").hidden = false;
    redraw();
  } catch (error) {
    if (!isLate()) showError(error);
  }
}

const take = (chosen) => chosen && predict((file = chosen));

function chooseMode(name) {
  mode = name;
  for (const radio of document.querySelectorAll("#modes input")) radio.checked = radio.value === name;
  if (file) predict(file);
}

function listen() {
  for (const id of ["file", "camera"]) {
    at(id).addEventListener("change", (event) => {
      take(event.target.files[0]);
      event.target.value = ""; // so that the same image can be chosen again
    });
  }
  const drop = at("drop");
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop") take(event.dataTransfer.files[0]);
    });
  }
  document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
  at("modes").addEventListener("change", (event) => chooseMode(event.target.value));
  at("show-heat").addEventListener("change", redraw);
  at("print").addEventListener("click", () => print());
}

/** Fetch a file of the bundle; null if the server requires a token first. */
async function fetchBundleFile(name) {
  const response = await fetch(`bundle/${name}`, { headers: authorization() });
  if (response.status === 401) return null;
  if (!response.ok) throw new UserError(`The page is incomplete: bundle/${name} is missing (${response.status}).`);
  return response;
}

async function open() {
  const [specFile, aboutFile, card] = await Promise.all(["spec.json", "about.json", "card.md"].map(fetchBundleFile));
  at("token-form").hidden = Boolean(specFile);
  at("work").hidden = !specFile;
  if (!specFile) {
    at("token").focus();
    return token && showTokenError();
  }
  spec = await specFile.json();
  about = await aboutFile.json();
  networks = { device: onDevice(spec, about, authorization), server: onServer(authorization) };
  at("model-name").textContent = spec.name;
  at("bundle-digest").textContent = about.digest.slice(0, 16);
  if (about.model) at("device-size").textContent = `up to ${Math.ceil(about.device_bytes / 1e6)} MB, once`;
  at("host").textContent = location.host;
  at("model-card").append(rendered(await card.text()));
  for (const element of document.querySelectorAll("[data-mode]")) element.hidden = !modes.includes(element.dataset.mode);
  chooseMode(modes[0]);
  document.body.dataset.ready = "yes";
}

function showTokenError() {
  document.querySelector("label[for=token]").textContent = "This token is wrong. Please try again.";
}

at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value.trim();
  open().catch(showError);
});
document.documentElement.classList.toggle("touch", navigator.maxTouchPoints > 0); // such a device most likely has a camera
listen();
open().catch(showError);
