// Puts images, heat maps and predictions on the page.

import { malignancy, MARKS, percent } from "./advice.js";
import { CELLS } from "./occlusion.js";
import { geometry } from "./image.js";

const MOST_SIDE = 1200; // of the image on the page, in its own pixels
const NEGLIGIBLE = 0.02;
const HEAT = "70, 40, 255"; // a blue that is neither skin nor lesion

export const at = (id) => document.getElementById(id);

/** Whether the part that the network sees is known: not where dark corners are cut off first, by as much as each image needs. */
export const framed = ({ preprocessing }) => !preprocessing.artefacts?.includes("dark_corner");
export const UNFRAMED =
  "Dark corners are cut off before this network sees an image, by as much as the image needs. So there is no frame and no heat map.";

/** Draw an image, and where the network sees a known part a frame around it, with its heat map if there is one. */
export function drawImage(image, spec, cells) {
  const canvas = at("canvas");
  const shrink = Math.min(1, MOST_SIDE / Math.max(image.width, image.height));
  canvas.width = Math.max(1, Math.round(image.width * shrink));
  canvas.height = Math.max(1, Math.round(image.height * shrink));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.save();
  context.scale(canvas.width / image.width, canvas.height / image.height);
  image.draw(context);
  context.restore();
  if (!framed(spec)) return;
  const { width, left, top, size } = geometry(image.width, image.height, spec.preprocessing);
  const scale = canvas.width / width;
  const frame = [left * scale, top * scale, size * scale, size * scale];
  if (cells) drawHeat(context, cells, frame);
  drawFrame(context, frame);
}

/** Take the image and its heat map off the page. */
export function clearImage() {
  at("canvas").width = at("canvas").height = 0;
  at("heat-toggle").hidden = true;
  at("heat-text").textContent = "";
}

/** Take the prediction off the page. */
export function clearPrediction() {
  for (const id of ["advice-sentence", "advice-reasons", "rows", "provenance"]) at(id).replaceChildren();
}

function drawHeat(context, cells, [x, y, side]) {
  const most = Math.max(...cells);
  if (most < NEGLIGIBLE) return;
  const small = new OffscreenCanvas(CELLS, CELLS);
  const dots = small.getContext("2d");
  cells.forEach((fall, cell) => {
    dots.fillStyle = `rgba(${HEAT}, ${(0.75 * Math.max(fall, 0)) / most})`;
    dots.fillRect(cell % CELLS, Math.floor(cell / CELLS), 1, 1);
  });
  context.drawImage(small, x, y, side, side);
}

function drawFrame(context, [x, y, side]) {
  const line = Math.max(2, context.canvas.width / 250);
  context.fillStyle = "rgba(0, 0, 0, 0.45)";
  context.beginPath();
  context.rect(0, 0, context.canvas.width, context.canvas.height);
  context.rect(x, y, side, side);
  context.fill("evenodd");
  context.lineWidth = line;
  context.strokeStyle = "#fff";
  context.strokeRect(x + line / 2, y + line / 2, side - line, side - line);
}

const PLACES = [["upper left", "top", "upper right"], ["left", "middle", "right"], ["lower left", "bottom", "lower right"]];

/** Describe a heat map in words, also for screen readers. */
export function heatInWords(cells, name) {
  const most = Math.max(...cells);
  if (most < NEGLIGIBLE) {
    return `No single part has much influence: covering any of them lowers the probability of "${name}" by less than 2 percentage points.`;
  }
  const cell = cells.indexOf(most);
  const third = (line) => Math.min(2, Math.floor((3 * (line + 0.5)) / CELLS));
  const place = PLACES[third(Math.floor(cell / CELLS))][third(cell % CELLS)];
  return (
    `Blue: parts with the most influence on "${name}", strongest at the ${place} of the frame. Covering that part lowers the ` +
    `probability by ${Math.round(100 * most)} percentage points. The map does not show where a disease is, nor whether the prediction is correct.`
  );
}

const element = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });

/** Show a prediction: the advice and why, then all classes by falling probability, those that are not benign marked. */
export function showPrediction(prediction, spec, limits, where) {
  at("advice").classList.toggle("refer", prediction.refer);
  at("advice-sentence").textContent = prediction.advice;
  at("advice-reasons").replaceChildren(...prediction.reasons.map((reason) => element("li", reason)));
  const ranked = [...spec.classes].sort((a, b) => prediction.probabilities[b.id] - prediction.probabilities[a.id]);
  at("rows").replaceChildren(...ranked.map((each) => row(each, prediction.probabilities[each.id])));
  at("limits").replaceChildren(...limits.map((line) => element("p", line)));
  const when = new Date().toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });
  at("provenance").textContent = `${when}, ${where} by the ${prediction.precision} network, in ${Math.ceil(1000 * prediction.seconds)} ms. ${spec.not_a_diagnosis}`;
  at("empty").hidden = true;
  at("prediction").hidden = false;
}

function row(each, probability) {
  const { name, meaning } = each;
  const mark = MARKS[malignancy(each)];
  const line = document.createElement("tr");
  line.classList.toggle("marked", Boolean(mark));
  const header = document.createElement("th");
  header.scope = "row";
  header.append(name);
  if (mark) header.append(" ", Object.assign(element("span", mark), { className: "mark" }));
  if (meaning !== name) header.append(element("small", meaning));
  const share = document.createElement("td");
  const bar = Object.assign(element("span", ""), { className: "bar" });
  bar.setAttribute("aria-hidden", "true");
  bar.style.setProperty("--share", `${100 * probability}%`);
  share.append(percent(probability), bar);
  line.append(header, share);
  return line;
}
