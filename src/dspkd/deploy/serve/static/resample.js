// Pillow's Image.resize(size, BILINEAR) for 8-bit pixels, bit for bit: antialiased, one pass along the rows and one along
// the columns, weights in fixed point, rounded to 8 bits after each pass. Source: Pillow, src/libImaging/Resample.c.

const BITS = 32 - 8 - 2; // of a weight's fraction: a sum of weights times 255 still fits 32 bits with its sign
const SUPPORT = 1; // the triangle is 1 - |x| up to here

/** For each output pixel: its first input pixel, the number of input pixels, and their weights, which sum to 1. */
export function weights(inSize, outSize) {
  const scale = inSize / outSize;
  const stretch = Math.max(scale, 1); // when shrinking, the triangle spans all input pixels of an output pixel
  const support = SUPPORT * stretch;
  const width = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(outSize);
  const count = new Int32Array(outSize);
  const fixed = new Int32Array(outSize * width);
  const row = new Float64Array(width);
  for (let out = 0; out < outSize; out++) {
    const centre = (out + 0.5) * scale;
    first[out] = Math.max(Math.trunc(centre - support + 0.5), 0);
    count[out] = Math.min(Math.trunc(centre + support + 0.5), inSize) - first[out];
    let sum = 0;
    for (let k = 0; k < count[out]; k++) {
      row[k] = Math.max(1 - Math.abs((k + first[out] - centre + 0.5) * (1 / stretch)), 0);
      sum += row[k];
    }
    for (let k = 0; k < count[out]; k++) {
      fixed[out * width + k] = Math.trunc(0.5 + (row[k] / sum) * (1 << BITS));
    }
  }
  return { first, count, fixed, width };
}

/** Resize lines of RGB or RGBA pixels along one axis; `step` is the offset to the next pixel of a line, `across` to the next line. */
function pass(from, to, { first, count, fixed, width }, lines) {
  const half = 1 << (BITS - 1);
  for (let line = 0; line < lines; line++) {
    for (let out = 0; out < first.length; out++) {
      let at = from.start + line * from.across + first[out] * from.step;
      let red = half;
      let green = half;
      let blue = half;
      for (let k = out * width, end = k + count[out]; k < end; k++, at += from.step) {
        const weight = fixed[k];
        red += from.pixels[at] * weight;
        green += from.pixels[at + 1] * weight;
        blue += from.pixels[at + 2] * weight;
      }
      const put = to.start + line * to.across + out * to.step;
      to.pixels[put] = red >> BITS; // a Uint8ClampedArray clamps it to 0..255
      to.pixels[put + 1] = green >> BITS;
      to.pixels[put + 2] = blue >> BITS;
    }
  }
}

const STRIP = 256;

/**
 * Resize an image; returns rows of RGB triples. `rows(y, n)` returns its rows y to y + n - 1 as RGBA, so that a large
 * image is never in memory as a whole.
 */
export function resize(rows, width, height, outWidth, outHeight) {
  const between = new Uint8ClampedArray(outWidth * height * 3);
  const along = weights(width, outWidth);
  for (let y = 0; y < height; y += STRIP) {
    const lines = Math.min(STRIP, height - y);
    const from = { pixels: rows(y, lines), start: 0, step: 4, across: width * 4 };
    pass(from, { pixels: between, start: y * outWidth * 3, step: 3, across: outWidth * 3 }, along, lines);
  }
  const out = new Uint8ClampedArray(outWidth * outHeight * 3);
  const from = { pixels: between, start: 0, step: outWidth * 3, across: 3 };
  pass(from, { pixels: out, start: 0, step: outWidth * 3, across: 3 }, weights(height, outHeight), outWidth);
  return out;
}
