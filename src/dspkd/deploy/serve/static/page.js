// The page: takes a picture, asks the chosen network about it, shows what it says.

import { rendered } from "./card.js";
import { onDevice } from "./device.js";
import { Trouble } from "./picture.js";
import { onServer } from "./server.js";
import { at, drawPicture, heatInWords, percent, showAnswer } from "./show.js";

const modes = document.body.dataset.modes.split(" ");
let token = "";
const authorization = () => (token ? { Authorization: `Bearer ${token}` } : {});

let spec;
let networks;
let chosen;
let now = 0; // the number of the picture asked about; what comes late for an earlier one is dropped
let shown; // { bitmap, cells, name }

/** Say how it stands; `heard`: only to those who hear the page, since the others see it beside. */
function say(text, { heard = false } = {}) {
  at("status").textContent = text;
  at("status").classList.toggle("heard", heard);
}

function complain(error) {
  if (!(error instanceof Trouble)) console.error(error);
  at("trouble").textContent = error instanceof Trouble ? error.message : `Something went wrong: ${error.message}`;
  at("trouble").hidden = false;
  say("");
  at("progress").hidden = true;
  at("nothing").textContent = "No answer.";
  at("nothing").hidden = !at("answer").hidden;
}

function progress(share) {
  at("progress").hidden = share === null;
  at("progress").firstElementChild.style.setProperty("--done", `${100 * (share ?? 0)}%`);
}

function redraw() {
  if (shown) drawPicture(shown.bitmap, spec.preprocessing, at("show-heat").checked ? shown.cells : null);
}

/** Show the picture that was chosen, with no answer yet. */
async function showPicture(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new Trouble("This is no JPEG, PNG or WebP picture, or it is damaged.");
  }
  shown?.bitmap.close();
  shown = { bitmap, cells: null };
  at("shown").hidden = false;
  at("canvas").setAttribute("aria-label", "The picture; the frame is what the network sees");
  at("heat-toggle").hidden = true;
  at("heat-text").textContent = "The frame is what the network sees.";
  redraw();
}

/** Ask about a picture, then what the answer rests on. */
async function ask(file) {
  const turn = ++now;
  const late = () => turn !== now;
  const network = networks[chosen];
  const where = chosen === "device" ? "computed on this device" : "computed on the server";
  at("trouble").hidden = true;
  at("answer").hidden = true;
  at("nothing").hidden = true;
  try {
    await showPicture(file);
    say(chosen === "device" ? "Loading the network…" : "Asking the server…");
    await network.ready();
    if (late()) return;
    say("Looking at the picture…");
    const answer = await network.answer(file);
    if (late()) return;
    const { name } = spec.classes.find(({ id }) => id === answer.top);
    showAnswer(answer, spec, where);
    const advice = answer.refer ? "Not sure: refer to a dermatologist. " : "";
    say(`Most probable: ${name}, ${percent(answer.confidence)}. ${advice}No diagnosis.`, { heard: true });
    progress(0);
    const cells = await network.heat(file, answer.top, (share) => late() || progress(share));
    if (late()) return;
    progress(null);
    shown.cells = cells;
    at("heat-text").textContent = heatInWords(cells, name);
    at("canvas").setAttribute("aria-label", `The picture with a heat map. ${heatInWords(cells, name)}`);
    at("heat-toggle").hidden = false;
    redraw();
  } catch (error) {
    if (!late()) complain(error);
  }
}

let asked; // the file on the page, to be asked about again when the mode changes
const take = (file) => file && ask((asked = file));

function choose(mode) {
  chosen = mode;
  for (const radio of document.querySelectorAll("#modes input")) radio.checked = radio.value === mode;
  if (asked) ask(asked);
}

function listen() {
  for (const id of ["file", "camera"]) {
    at(id).addEventListener("change", (event) => {
      take(event.target.files[0]);
      event.target.value = ""; // so that the same picture can be chosen again
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
  at("modes").addEventListener("change", (event) => choose(event.target.value));
  at("show-heat").addEventListener("change", redraw);
  at("print").addEventListener("click", () => print());
}

/** Fetch a file of the bundle; null where the server wants a token first. */
async function ofBundle(name) {
  const response = await fetch(`bundle/${name}`, { headers: authorization() });
  if (response.status === 401) return null;
  if (!response.ok) throw new Trouble(`The page is incomplete: bundle/${name} is missing (${response.status}).`);
  return response;
}

async function open() {
  const [described, told, card] = await Promise.all(["spec.json", "about.json", "card.md"].map(ofBundle));
  at("token-form").hidden = Boolean(described);
  at("work").hidden = !described;
  if (!described) {
    at("token").focus();
    return token && complainOfToken();
  }
  spec = await described.json();
  const about = await told.json();
  networks = { device: onDevice(spec, about, authorization), server: onServer(authorization) };
  at("model-name").textContent = spec.name;
  at("bundle-digest").textContent = about.digest.slice(0, 16);
  if (about.model) at("device-size").textContent = `up to ${Math.ceil(about.device_bytes / 1e6)} MB, once`;
  at("host").textContent = location.host;
  at("model-card").append(rendered(await card.text()));
  for (const element of document.querySelectorAll("[data-mode]")) element.hidden = !modes.includes(element.dataset.mode);
  choose(modes[0]);
  document.body.dataset.ready = "yes";
}

function complainOfToken() {
  const label = document.querySelector("label[for=token]");
  label.textContent = "That was not the token. Please try again.";
}

at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value.trim();
  open().catch(complain);
});
document.documentElement.classList.toggle("touch", navigator.maxTouchPoints > 0); // there is a camera then, most likely
listen();
open().catch(complain);
