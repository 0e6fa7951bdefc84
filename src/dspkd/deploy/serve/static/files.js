// Files of the page from its web server; where something else comes, what it is and what to do.

import { TokenError, UserError } from "./errors.js";
import { sha256 } from "./sha256.js";

let forbidden = ""; // the directive of a Content-Security-Policy that has forbidden something last
self.addEventListener("securitypolicyviolation", (event) => (forbidden = event.effectiveDirective));

export const isWebPage = (response) => /^(text\/html|application\/xhtml)/.test(response.headers.get("content-type") ?? "");
const login = (what) =>
  `In place of ${what} the web server sent a web page, perhaps a login. Log in on ${location.host}, then load this page again.`;

/** Fetch a file, `what` it is in words; a UserError where it does not come. */
export async function fetchFile(url, what, headers = {}) {
  let response;
  try {
    response = await fetch(url, { headers, cache: "no-cache" }); // a copy that the browser kept may be of another bundle
  } catch {
    await new Promise((resolve) => setTimeout(resolve)); // until the browser has said what it forbade
    if (forbidden) throw new UserError(policy(forbidden));
    throw new UserError(
      `${what} could not be loaded: there is no connection to ${location.host}, or it requires a login first. Load the page again.`,
    );
  }
  if (response.status === 401) throw new TokenError(`${what} could not be loaded: the server requires a token (401).`);
  if (!response.ok) throw new UserError(`${what} could not be loaded (${response.status}).`);
  if (isWebPage(response)) throw new UserError(login(what.charAt(0).toLowerCase() + what.slice(1)));
  return response;
}

/** Fetch the bytes of a file of the bundle, whose SHA-256 is in about.json; a UserError where they are not those. */
export async function fetchChecked(url, what, digest, headers = {}) {
  const bytes = await (await fetchFile(url, what, headers)).arrayBuffer();
  if ((await sha256(bytes)) === digest) return bytes;
  throw new UserError(
    `${what} is not that of this page's bundle: the web server may have another bundle now. Load the page again; if this stays, put the page on the web server again.`,
  );
}

const policy = (directive) =>
  `The web server's Content-Security-Policy forbids what the page needs: its ${directive} must have 'self'.`;

/** Why scripts of the page did not start, from the first that does not come as a script. */
export async function whyNoScript(names, directive) {
  if (forbidden) return policy(forbidden);
  for (const name of names) {
    const url = new URL(name, import.meta.url).href;
    const response = await fetchFile(url, `static/${name}`).catch((error) => error);
    if (response instanceof Error) return response.message;
    const type = response.headers.get("content-type") || "no content type";
    if (!/javascript|ecmascript/.test(type)) {
      return `The web server sends static/${name} as ${type}; set it to send .js files as text/javascript.`;
    }
  }
  return `Perhaps this browser is too old, or the web server's Content-Security-Policy forbids it: ${directive} must have 'self'.`;
}
