// What an image file says about itself, and the file without what browsers treat differently: profiles, XMP, animation, and
// the orientation, which is applied here and by no browser. dspkd/data/orientation.py is the same rule in Python.

import { UserError } from "./errors.js";

const EXIF = "Exif\0\0";
const ascii = (bytes, at, length) => String.fromCharCode(...bytes.subarray(at, at + length));
const prefix = Uint8Array.from(EXIF, (character) => character.charCodeAt(0));
const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/**
 * The type, width, height and orientation of an image in a JPEG, PNG or WebP file, `parts` of the file that show the same
 * pixels in every browser, and what the device `cannot` decode as the bundle requires.
 */
export function parse(bytes) {
  try {
    if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return jpeg(bytes);
    if (ascii(bytes, 0, 8) === "\x89PNG\r\n\x1a\n") return png(bytes);
    if (ascii(bytes, 0, 4) === "RIFF" && ascii(bytes, 8, 4) === "WEBP") return webp(bytes);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // an offset beyond the end
    throw new UserError("This image is damaged: the file is cut short.");
  }
  throw new UserError("This is not a JPEG, PNG or WebP image.");
}

function jpeg(bytes) {
  const view = viewOf(bytes);
  const parts = [bytes.subarray(0, 2)];
  let size = null;
  let exif = new Uint8Array();
  let at = 2;
  while (at < bytes.length) {
    if (bytes[at] !== 0xff || bytes[at + 1] === 0xff || bytes[at + 1] === 0) {
      at += 1; // fill bytes
      continue;
    }
    const marker = bytes[at + 1];
    if (marker === 0xda) break; // pixels from here on
    const alone = marker === 0x01 || (marker >= 0xd0 && marker <= 0xd9);
    const end = alone ? at + 2 : at + 2 + view.getUint16(at + 2);
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) size ??= { height: view.getUint16(at + 5), width: view.getUint16(at + 7), components: bytes[at + 9] };
    if (marker === 0xe1 && ascii(bytes, at + 4, 6) === EXIF) {
      exif = joined(exif, bytes.subarray(at + (exif.length ? 10 : 4), end));
    }
    if (marker !== 0xe1 && marker !== 0xe2) parts.push(bytes.subarray(at, end)); // neither EXIF, XMP nor a profile
    at = end;
  }
  if (!size) throw new UserError("This image is damaged: it has no size.");
  const cannot = size.components === 4 ? "This JPEG is in CMYK, for print." : "";
  return { type: "image/jpeg", ...size, orientation: orientationOf(exif), parts: [...parts, bytes.subarray(at)], cannot };
}

function png(bytes) {
  const view = viewOf(bytes);
  const parts = [bytes.subarray(0, 8)];
  let exif = new Uint8Array();
  for (let at = 8; at + 8 <= bytes.length; ) {
    const name = ascii(bytes, at + 4, 4);
    const end = at + 12 + view.getUint32(at);
    const content = bytes.subarray(at + 8, end - 4);
    if (name === "eXIf") exif = joined(prefix, content);
    // Pillow takes a text of this name for EXIF, too.
    if (/^[tzi][TE]Xt$/.test(name) && ascii(content, 0, 5) === "exif\0") exif = name === "tEXt" ? content.subarray(5) : new Uint8Array();
    // Critical chunks, and transparency; without its animation a file shows its first frame.
    if (/^[A-Z]/.test(name) || name === "tRNS") parts.push(bytes.subarray(at, end));
    if (name === "IEND") break; // Pillow reads nothing after it
    at = end;
  }
  const cannot = bytes[24] === 16 ? "This PNG has 16 bits for each colour." : "";
  const orientation = ascii(exif, 0, 6) === EXIF ? orientationOf(exif) : 1;
  return { type: "image/png", width: view.getUint32(16), height: view.getUint32(20), orientation, parts, cannot };
}

const PROFILE = 0x20;
const HAS_EXIF = 0x08;
const XMP = 0x04;

function webp(bytes) {
  const view = viewOf(bytes);
  const first = ascii(bytes, 12, 4);
  const uint24 = (at) => view.getUint16(at, true) + (bytes[at + 2] << 16);
  const at14 = (at) => view.getUint16(at, true) & 0x3fff;
  if (first !== "VP8X") {
    const bits = first === "VP8L" ? view.getUint32(21, true) : 0;
    const [width, height] = first === "VP8L" ? [(bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1] : [at14(26), at14(28)];
    return { type: "image/webp", width, height, orientation: 1, parts: [bytes], cannot: "" };
  }
  const header = bytes.slice(0, 30);
  header[20] &= ~(PROFILE | HAS_EXIF | XMP);
  const parts = [header];
  let exif;
  for (let at = 30; at + 8 <= bytes.length; ) {
    const name = ascii(bytes, at, 4);
    const length = view.getUint32(at + 4, true);
    const end = at + 8 + length + (length & 1);
    if (name === "EXIF") exif ??= bytes.subarray(at + 8, at + 8 + length);
    else if (name !== "ICCP" && name !== "XMP ") parts.push(bytes.subarray(at, end));
    at = end;
  }
  viewOf(header).setUint32(4, parts.reduce((sum, part) => sum + part.length, 0) - 8, true);
  const orientation = bytes[20] & HAS_EXIF && exif ? orientationOf(exif) : 1;
  return { type: "image/webp", width: uint24(24) + 1, height: uint24(27) + 1, orientation, parts, cannot: "" };
}

function joined(one, other) {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

/** The orientation in the first directory of a block of EXIF: one SHORT from 1 to 8, else 1. */
function orientationOf(block) {
  let start = 0;
  while (ascii(block, start, 6) === EXIF) start += 6;
  const order = ascii(block, start, 4);
  if (order !== "II*\0" && order !== "MM\0*") return 1;
  const little = order[0] === "I";
  const view = viewOf(block.subarray(start));
  try {
    const directory = view.getUint32(4, little);
    for (let n = 0; n < view.getUint16(directory, little); n++) {
      const entry = directory + 2 + 12 * n;
      if (view.getUint16(entry, little) !== 0x112) continue;
      const [kind, count, value] = [view.getUint16(entry + 2, little), view.getUint32(entry + 4, little), view.getUint16(entry + 8, little)];
      return kind === 3 && count === 1 && value >= 1 && value <= 8 ? value : 1;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // an offset beyond the end
  }
  return 1;
}
