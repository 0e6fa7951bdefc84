// The files of the bundle that the page shows: all of one bundle, by their SHA-256 in about.json.

import { UserError } from "./errors.js";
import { fetchChecked, fetchFile } from "./files.js";

const inWords = (name) => `The page's file bundle/${name}`;
const address = (name) => new URL(`../bundle/${name}`, import.meta.url).href;

/** Fetch { spec, about, card } with these headers; a UserError where one does not come, or is of another bundle. */
export async function openBundle(headers = {}) {
  const response = await fetchFile(address("about.json"), inWords("about.json"), headers);
  const about = parsed(await response.text(), "about.json");
  const checked = (name, digest) => fetchChecked(address(name), inWords(name), digest, headers);
  const [spec, card] = await Promise.all([checked("spec.json", about.spec_sha256), checked("card.md", about.card_sha256)]);
  const text = (bytes) => new TextDecoder().decode(bytes);
  return { spec: parsed(text(spec), "spec.json"), about, card: text(card) };
}

function parsed(text, name) {
  try {
    return JSON.parse(text);
  } catch {
    throw new UserError(`${inWords(name)} is damaged: it is no JSON. Put the page on the web server again.`);
  }
}
