// Keeps the whole page, with its network, on the device: it then opens and predicts without a connection.
// Written beside index.html by `dspkd web`, which fills in the version and the SHA-256 of each file.

const VERSION = "";
const FILES = {};

const SCOPE = new URL("./", self.location).href;
const PREFIX = `dspkd ${SCOPE} `;
const NAME = PREFIX + VERSION;

const hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Put every file into the cache of this version, all or nothing; one that is not as written is refused. */
async function fill() {
  const cache = await caches.open(NAME);
  try {
    for (const [path, digest] of Object.entries(FILES)) {
      const url = SCOPE + path;
      const response = await fetch(url, { cache: "no-cache" });
      const content = response.ok && (await response.clone().arrayBuffer());
      if (!content || hex(await crypto.subtle.digest("SHA-256", content)) !== digest) throw new Error(`${path} is not as written`);
      await cache.put(url, response);
    }
  } catch (error) {
    await caches.delete(NAME);
    throw error;
  }
}

async function forgetOthers() {
  const others = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== NAME);
  await Promise.all(others.map((name) => caches.delete(name)));
}

self.addEventListener("install", (event) => event.waitUntil(fill()));
self.addEventListener("activate", (event) => event.waitUntil(forgetOthers()));

// Files of the page come from the cache of one version, never from two. Anything else is left to the browser.
self.addEventListener("fetch", (event) => {
  const url = event.request.url.split(/[?#]/)[0];
  const path = url === SCOPE ? "index.html" : url.startsWith(SCOPE) ? url.slice(SCOPE.length) : "";
  if (event.request.method !== "GET" || !Object.hasOwn(FILES, path)) return;
  event.respondWith(
    caches.open(NAME).then(async (cache) => (await cache.match(SCOPE + path)) ?? fetch(event.request)),
  );
});
