// From an image file to the input of the network, exactly as the bundle's specification requires.

import { resize } from "./resample.js";

const MOST_PIXELS = 50_000_000;
const MOST_ASPECT = 32; // long side over short side

/** An error that the user can fix; its message is shown on the page. */
export class UserError extends Error {}

const ascii = (bytes, at, length) => String.fromCharCode(...bytes.subarray(at, at + length));

/** The type of a file by its first bytes, whatever its name. */
function fileType(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return "image/jpeg";
  if (ascii(bytes, 0, 8) === "\x89PNG\r\n\x1a\n") return "image/png";
  if (ascii(bytes, 0, 4) === "RIFF" && ascii(bytes, 8, 4) === "WEBP") return "image/webp";
  throw new UserError("This is not a JPEG, PNG or WebP image.");
}

/** The number of colour components of a JPEG: 4 means CMYK, which browsers and Pillow convert differently to RGB. */
export function components(bytes) {
  for (let at = 2; at + 9 < bytes.length && bytes[at] === 0xff; ) {
    const marker = bytes[at + 1];
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return bytes[at + 9];
    if (marker === 0xff) at += 1; // a fill byte
    else at += 2 + (bytes[at + 2] << 8) + bytes[at + 3];
  }
  return 3;
}

/** Whether a WebP is rotated by EXIF: some browsers ignore that. */
export function rotatedWebp(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 12; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at + 4, true);
    if (ascii(bytes, at, 4) === "EXIF") return orientation(bytes.subarray(at + 8, at + 8 + length)) > 1;
    at += 8 + length + (length & 1);
  }
  return false;
}

/** The orientation in a block of EXIF, 1 where there is none. */
function orientation(block) {
  const start = ascii(block, 0, 6) === "Exif\0\0" ? 6 : 0;
  const view = new DataView(block.buffer, block.byteOffset + start, block.length - start);
  try {
    const little = ascii(block, start, 2) === "II";
    const directory = view.getUint32(4, little);
    for (let n = 0; n < view.getUint16(directory, little); n++) {
      const entry = directory + 2 + 12 * n;
      if (view.getUint16(entry, little) === 0x112) return view.getUint16(entry + 8, little);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // an offset beyond the end: invalid EXIF
  }
  return 1;
}

/** Refuse files that browsers decode to other pixels than the bundle's specification requires. */
function refuseUnsupported(bytes, type) {
  const instead = "Save it in another format, or choose the server.";
  if (type === "image/jpeg" && components(bytes) === 4) throw new UserError(`This JPEG is in CMYK, for print. ${instead}`);
  if (type === "image/png" && bytes[24] === 16) throw new UserError(`This PNG has 16 bits for each colour. ${instead}`);
  if (type === "image/webp" && rotatedWebp(bytes)) throw new UserError(`This WebP is rotated by EXIF. ${instead}`);
}

/** Decode a file in full size, upright by EXIF, without applying its colour profile. */
export async function decode(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const type = fileType(bytes);
  refuseUnsupported(bytes, type);
  let bitmap;
  try {
    bitmap = await createImageBitmap(new Blob([bytes], { type }), {
      colorSpaceConversion: "none",
      imageOrientation: "from-image",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new UserError("This image is damaged, or this browser cannot read it.");
  }
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS) {
    bitmap.close();
    throw new UserError(`${width} × ${height} pixels are too many; make it smaller.`);
  }
  if (Math.max(width, height) > MOST_ASPECT * Math.min(width, height)) {
    bitmap.close();
    throw new UserError(`${width} × ${height} pixels: too long and narrow.`);
  }
  return bitmap;
}

/** Width and height after resizing, and the square that is cut from the middle. */
export function geometry(width, height, { resize: { short_side }, crop: { size } }) {
  const short = Math.min(width, height);
  const long = Math.floor((2 * Math.max(width, height) * short_side + short) / (2 * short));
  const [w, h] = width <= height ? [short_side, long] : [long, short_side];
  return { width: w, height: h, left: Math.floor((w - size) / 2), top: Math.floor((h - size) / 2), size };
}

/** Resize and crop a decoded image: size x size, all red values, then green, then blue, float32 in [0, 1]. */
export function preprocess(bitmap, preprocessing) {
  const { width, height, left, top, size } = geometry(bitmap.width, bitmap.height, preprocessing);
  const small = resize(rowsOf(bitmap), bitmap.width, bitmap.height, width, height);
  const planes = new Float32Array(3 * size * size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const from = 3 * ((top + y) * width + left + x);
      for (let c = 0; c < 3; c++) planes[(c * size + y) * size + x] = small[from + c] / 255;
    }
  }
  return planes;
}

/** A function that reads rows of a bitmap, over black where it is transparent, by a canvas of only that many rows. */
function rowsOf(bitmap) {
  let context;
  return (y, lines) => {
    if (context?.canvas.height !== lines) {
      const canvas = new OffscreenCanvas(bitmap.width, lines);
      context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    }
    context.fillStyle = "#000";
    context.fillRect(0, 0, bitmap.width, lines);
    context.drawImage(bitmap, 0, -y);
    return context.getImageData(0, 0, bitmap.width, lines).data;
  };
}
