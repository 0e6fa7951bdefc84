// The model card's Markdown as elements: headings, paragraphs, lists, tables, code, emphasis. Text stays text: no HTML of the card's
// own is let in, and links show their address.

function inline(parent, text) {
  for (const part of text.split(/(\*\*[^*]+\*\*|\*[^*\s][^*]*\*|`[^`]+`|\[[^\]]+\]\([^)]+\))/)) {
    const link = part.match(/^\[([^\]]+)\]\(([^)]+)\)$/);
    if (part.startsWith("**") && part.length > 4) parent.append(made("strong", part.slice(2, -2)));
    else if (part.startsWith("*") && part.length > 2) parent.append(made("em", part.slice(1, -1)));
    else if (part.startsWith("`") && part.length > 2) parent.append(made("code", part.slice(1, -1)));
    else if (link) parent.append(`${link[1]} (${link[2]})`);
    else parent.append(part);
  }
  return parent;
}

function made(name, text = "") {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());

function table(lines) {
  const box = made("div");
  box.className = "scroll";
  box.tabIndex = 0;
  const rows = lines.filter((line) => !/^[\s|:-]+$/.test(line)).map((line, n) => {
    const row = made("tr");
    cells(line).forEach((cell) => row.append(inline(made(n ? "td" : "th"), cell)));
    return row;
  });
  const all = made("table");
  all.append(...rows);
  box.append(all);
  return box;
}

/** Each kind of block: how its first line looks, how the following ones do, and what becomes of them. */
const BLOCKS = [
  [/^```/, /^(?!```)/, (lines) => made("pre", lines.slice(1).join("\n"))],
  [/^#{1,6} /, /^(?!)/, ([line]) => inline(made(line.startsWith("# ") ? "h3" : "h4"), line.replace(/^#+ /, ""))],
  [/^\|/, /^\|/, table],
  [/^[-*] /, /^([-*] |\s+\S)/, (lines) => list(lines)],
  [/^\S/, /^(?!```|#|\||[-*] )\S/, (lines) => inline(made("p"), lines.map((line) => line.replace(/^> ?/, "")).join(" "))],
];

function list(lines) {
  const items = [];
  for (const line of lines) {
    if (/^[-*] /.test(line)) items.push(line.slice(2));
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  const all = made("ul");
  all.append(...items.map((item) => inline(made("li"), item)));
  return all;
}

export function rendered(markdown) {
  const lines = markdown.replace(/^---\n[\s\S]*?\n---\n/, "").split("\n"); // less the front matter
  const out = document.createDocumentFragment();
  for (let at = 0; at < lines.length; ) {
    const block = BLOCKS.find(([first]) => first.test(lines[at]));
    let end = at + 1;
    if (block) {
      while (end < lines.length && block[1].test(lines[end])) end++;
      out.append(block[2](lines.slice(at, end)));
      if (block[0].test("```")) end++; // the closing fence
    }
    at = end;
  }
  return out;
}
