// SHA-256, also where browsers do not offer it: on a page that came by http from another machine.

const WORDS = 64;
const primes = [];
for (let n = 2; primes.length < WORDS; n++) if (primes.every((p) => n % p)) primes.push(n);
const fraction = (x) => Math.floor((x - Math.floor(x)) * 2 ** 32); // its first 32 bits
const ROUNDS = Int32Array.from(primes, (p) => fraction(Math.cbrt(p)));
const START = primes.slice(0, 8).map((p) => fraction(Math.sqrt(p)));
const turned = (x, n) => (x >>> n) | (x << (32 - n));

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** The SHA-256 of an ArrayBuffer, in hex. */
export async function sha256(buffer) {
  if (self.crypto?.subtle) return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", buffer)));
  return computed(buffer);
}

/** The same, computed here. */
export function computed(buffer) {
  const { byteLength } = buffer;
  const padded = new Uint8Array(64 * Math.ceil((byteLength + 9) / 64));
  padded.set(new Uint8Array(buffer));
  padded[byteLength] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(byteLength / 2 ** 29));
  view.setUint32(padded.length - 4, (8 * byteLength) >>> 0);
  const state = Int32Array.from(START);
  const w = new Int32Array(WORDS);
  for (let at = 0; at < padded.length; at += 64) block(state, w, view, at);
  const digest = new DataView(new ArrayBuffer(32));
  state.forEach((word, n) => digest.setInt32(4 * n, word));
  return hex(new Uint8Array(digest.buffer));
}

function block(state, w, view, at) {
  for (let t = 0; t < 16; t++) w[t] = view.getInt32(at + 4 * t);
  for (let t = 16; t < WORDS; t++) {
    const early = turned(w[t - 15], 7) ^ turned(w[t - 15], 18) ^ (w[t - 15] >>> 3);
    const late = turned(w[t - 2], 17) ^ turned(w[t - 2], 19) ^ (w[t - 2] >>> 10);
    w[t] = w[t - 16] + early + w[t - 7] + late;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let t = 0; t < WORDS; t++) {
    const one = (h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) + ROUNDS[t] + w[t]) | 0;
    const two = ((turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + one) | 0;
    d = c;
    c = b;
    b = a;
    a = (one + two) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((word, n) => (state[n] += word));
}
