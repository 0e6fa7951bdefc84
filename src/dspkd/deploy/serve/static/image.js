// From an image file to the input of the network, exactly as the bundle's specification requires.

import { UserError } from "./errors.js";
import { parse } from "./image_file.js";
import { resize } from "./resample.js";

const MOST_PIXELS = 50_000_000;
const MOST_ASPECT = 32; // long side over short side
const LEAST_SIDE = 32; // pixels of the short side, below which an image shows nothing
const LEAST_RANGE = 8; // of 255 in any colour of the network's input, below which it shows nothing

/** A decoded image, upright: its width and height, `draw(context)`, which draws it from 0, 0, and `close()`. */
class Upright {
  constructor(bitmap, orientation, cannot) {
    const { width, height } = bitmap;
    Object.assign(this, { bitmap, orientation, cannot });
    [this.width, this.height] = orientation > 4 ? [height, width] : [width, height];
  }

  draw(context) {
    const { width: w, height: h } = this.bitmap;
    const turns = [
      [1, 0, 0, 1, 0, 0], [-1, 0, 0, 1, w, 0], [-1, 0, 0, -1, w, h], [1, 0, 0, -1, 0, h],
      [0, 1, 1, 0, 0, 0], [0, 1, -1, 0, h, 0], [0, -1, -1, 0, h, w], [0, -1, 1, 0, 0, w],
    ];
    context.save();
    context.transform(...turns[this.orientation - 1]);
    context.drawImage(this.bitmap, 0, 0);
    context.restore();
  }

  close() {
    this.bitmap.close();
  }
}

/** Decode a file in full size, upright by EXIF, without applying its colour profile; of several frames, the first. */
export async function decode(file) {
  let bytes;
  try {
    bytes = new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new UserError("This file cannot be read: it is a folder, or it was moved or changed.");
  }
  const { type, width, height, orientation, parts, cannot } = parse(bytes);
  refuseSize(width, height);
  let bitmap;
  try {
    const plain = { colorSpaceConversion: "none", imageOrientation: "none", premultiplyAlpha: "none" };
    const whole = await new Blob(parts).arrayBuffer(); // Firefox cannot decode a blob whose first part is short
    bitmap = await createImageBitmap(new Blob([whole], { type }), plain);
  } catch {
    throw new UserError("This image is damaged, or this browser cannot read it.");
  }
  if (bitmap.width !== width || bitmap.height !== height) {
    bitmap.close();
    throw new UserError("This image is damaged: its size is not what its header says.");
  }
  return new Upright(bitmap, orientation, cannot);
}

/** Refuse, by the size in the header alone, what the server refuses, too. */
function refuseSize(width, height) {
  if (width * height === 0) {
    return; // a damaged header: decoding says so
  }
  const size = `${width} × ${height} pixels`;
  if (width * height > MOST_PIXELS) {
    const most = MOST_PIXELS.toLocaleString("en-GB");
    throw new UserError(`${size} are more than ${most}, which is the limit; make the image smaller.`);
  }
  if (Math.max(width, height) > MOST_ASPECT * Math.min(width, height)) {
    throw new UserError(`${size}: too long and narrow; an image may be ${MOST_ASPECT} times as long as wide, no more.`);
  }
  if (Math.min(width, height) < LEAST_SIDE) {
    throw new UserError(`${size}: too small; the shorter side of an image must have ${LEAST_SIDE} or more.`);
  }
}

/** Width and height after resizing, and the square that is cut from the middle. */
export function geometry(width, height, { resize: { short_side }, crop: { size } }) {
  const short = Math.min(width, height);
  const long = Math.floor((2 * Math.max(width, height) * short_side + short) / (2 * short));
  const [w, h] = width <= height ? [short_side, long] : [long, short_side];
  return { width: w, height: h, left: Math.floor((w - size) / 2), top: Math.floor((h - size) / 2), size };
}

/** Resize and crop a decoded image: size x size, all red values, then green, then blue, float32 in [0, 1]. */
export function preprocess(image, preprocessing) {
  if (image.cannot) throw new UserError(`${image.cannot} Save it in another format, or choose the server.`);
  const { width, height, left, top, size } = geometry(image.width, image.height, preprocessing);
  const small = resize(rowsOf(image), image.width, image.height, width, height);
  const planes = new Float32Array(3 * size * size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const from = 3 * ((top + y) * width + left + x);
      for (let c = 0; c < 3; c++) planes[(c * size + y) * size + x] = small[from + c] / 255;
    }
  }
  refuseOneColour(planes);
  return planes;
}

/** Refuse, as the server does, an image of which the network would see one colour, as if black or white. */
function refuseOneColour(planes) {
  const length = planes.length / 3;
  const ranges = [0, 1, 2].map((c) => {
    let [low, high] = [1, 0];
    for (const value of planes.subarray(c * length, (c + 1) * length)) [low, high] = [Math.min(low, value), Math.max(high, value)];
    return Math.round(255 * (high - low));
  });
  const range = Math.max(...ranges);
  if (range < LEAST_RANGE) throw new UserError(`This image shows nothing: it is of one colour within ${range} of 255, as if black or white.`);
}

/** A function that reads rows of an image, over black where it is transparent, by a canvas of only that many rows. */
function rowsOf(image) {
  let context;
  return (y, lines) => {
    if (context?.canvas.height !== lines) {
      const canvas = new OffscreenCanvas(image.width, lines);
      context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
      context.imageSmoothingEnabled = false;
    }
    context.fillStyle = "#000";
    context.fillRect(0, 0, image.width, lines);
    context.save();
    context.translate(0, -y);
    image.draw(context);
    context.restore();
    return context.getImageData(0, 0, image.width, lines).data;
  };
}
