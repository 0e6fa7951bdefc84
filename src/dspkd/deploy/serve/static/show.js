// Puts pictures, heat maps and answers on the page.

import { CELLS } from "./occlusion.js";
import { geometry } from "./picture.js";

const MOST_SIDE = 1200; // of the picture on the page, in its own pixels
const NEGLIGIBLE = 0.02;
const HEAT = "70, 40, 255"; // a blue that is neither skin nor lesion

export const at = (id) => document.getElementById(id);
export const percent = (share) => (share > 0 && share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`);

/** Draw a picture, what the network sees of it in a frame, and over that the heat map where there is one. */
export function drawPicture(bitmap, preprocessing, cells) {
  const canvas = at("canvas");
  const shrink = Math.min(1, MOST_SIDE / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.round(bitmap.width * shrink);
  canvas.height = Math.round(bitmap.height * shrink);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const { width, left, top, size } = geometry(bitmap.width, bitmap.height, preprocessing);
  const scale = canvas.width / width;
  const frame = [left * scale, top * scale, size * scale, size * scale];
  if (cells) drawHeat(context, cells, frame);
  drawFrame(context, frame);
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

/** Say in words what the heat map shows, for everybody, and for those who cannot see it. */
export function heatInWords(cells, name) {
  const most = Math.max(...cells);
  if (most < NEGLIGIBLE) {
    return `No single part matters much: covering any of them lowers the probability of "${name}" by less than ${percent(NEGLIGIBLE)}.`;
  }
  const cell = cells.indexOf(most);
  const third = (line) => Math.min(2, Math.floor((3 * (line + 0.5)) / CELLS));
  const place = PLACES[third(Math.floor(cell / CELLS))][third(cell % CELLS)];
  return (
    `Blue: what the answer "${name}" rests on, most at the ${place} of the frame. Covering that part lowers its ` +
    `probability by ${Math.round(100 * most)} points. This is not where a disease is, and not whether the answer is right.`
  );
}

/** Show an answer: the most probable class, whether to refer, and all classes in the order of their probability. */
export function showAnswer(answer, spec, where) {
  const top = spec.classes.find(({ id }) => id === answer.top);
  at("class-count").textContent = spec.classes.length;
  at("top-name").textContent = top.name;
  at("top-share").textContent = percent(answer.confidence);
  at("top-meaning").textContent = top.meaning;
  const [title, text] = at("advice").children;
  at("advice").classList.toggle("refer", answer.refer);
  if (answer.refer) at("answer").prepend(at("advice")); // before a name that reassures
  else at("top-meaning").after(at("advice"));
  const limit = percent(spec.thresholds.refer_below);
  title.textContent = answer.refer ? "Not sure: refer to a dermatologist." : "Confidence above this network's threshold.";
  text.textContent = answer.refer
    ? `The highest probability is below ${limit}, the point at which this network should not be relied on.`
    : `The highest probability is at or above ${limit}. It can still be wrong, and it knows no other class than those below.`;
  const ranked = [...spec.classes].sort((a, b) => answer.probabilities[b.id] - answer.probabilities[a.id]);
  at("rows").replaceChildren(...ranked.map((known) => row(known, answer.probabilities[known.id], known === top)));
  const when = new Date().toLocaleString(undefined, { dateStyle: "long", timeStyle: "short" });
  at("made").textContent = `${when}, ${where} by the ${answer.precision} network, in ${Math.ceil(1000 * answer.seconds)} ms. ${spec.not_a_diagnosis}`;
  at("nothing").hidden = true;
  at("answer").hidden = false;
}

function row(known, probability, first) {
  const line = document.createElement("tr");
  line.classList.toggle("first", first);
  const name = document.createElement("th");
  name.scope = "row";
  name.append(known.name, Object.assign(document.createElement("small"), { textContent: known.meaning }));
  const share = document.createElement("td");
  const bar = Object.assign(document.createElement("span"), { className: "bar" });
  bar.setAttribute("aria-hidden", "true");
  bar.style.setProperty("--share", `${100 * probability}%`);
  share.append(percent(probability), bar);
  line.append(name, share);
  return line;
}
