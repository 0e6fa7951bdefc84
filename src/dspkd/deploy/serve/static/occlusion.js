// Occlusion maps: cover one part of an image after the other, and measure how far the probability of a class falls.
// The same as dspkd/deploy/serve/occlusion.py, which has the formula and its source.

export const CELLS = 8;
const COVER = 2;
const BATCH = 7;

/** The mean colour of an image: rows of red, then of green, then of blue. */
function meanColour(image, area) {
  return [0, 1, 2].map((channel) => {
    let sum = 0;
    for (let i = channel * area; i < (channel + 1) * area; i++) sum += image[i];
    return sum / area;
  });
}

/**
 * How much of a class's probability depends on each cell: CELLS x CELLS differences, row by row. `probabilities` maps a
 * batch of n images in one Float32Array to n arrays; `onProgress` is called with the share that is done.
 */
export async function heatMap(probabilities, image, side, target, onProgress = () => {}) {
  const area = side * side;
  const edge = (cell) => Math.floor((cell * side) / CELLS);
  const colour = meanColour(image, area);
  const corners = [];
  for (let row = 0; row <= CELLS - COVER; row++) {
    for (let column = 0; column <= CELLS - COVER; column++) corners.push([row, column]);
  }
  const whole = (await probabilities(image, 1))[0][target];
  const falls = new Float64Array(CELLS * CELLS);
  const windows = new Float64Array(CELLS * CELLS);
  for (let start = 0; start < corners.length; start += BATCH) {
    const some = corners.slice(start, start + BATCH);
    const batch = new Float32Array(some.length * 3 * area);
    some.forEach(([row, column], n) => {
      batch.set(image, n * 3 * area);
      for (let channel = 0; channel < 3; channel++) {
        for (let y = edge(row); y < edge(row + COVER); y++) {
          const line = (n * 3 + channel) * area + y * side;
          batch.fill(colour[channel], line + edge(column), line + edge(column + COVER));
        }
      }
    });
    const outputs = await probabilities(batch, some.length);
    some.forEach(([row, column], n) => {
      for (let y = row; y < row + COVER; y++) {
        for (let x = column; x < column + COVER; x++) {
          falls[y * CELLS + x] += whole - outputs[n][target];
          windows[y * CELLS + x] += 1;
        }
      }
    });
    onProgress((start + some.length) / corners.length);
  }
  return Array.from(falls, (fall, cell) => fall / windows[cell]);
}
