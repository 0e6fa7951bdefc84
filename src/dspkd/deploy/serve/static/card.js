// The model card's Markdown as elements: headings, paragraphs, lists, tables, code, emphasis. HTML in the card is shown as
// text, and links show their address.

function inline(parent, text) {
  for (const part of text.split(/(\*\*[^*]+\*\*|\*[^*\s][^*]*\*|`[^`]+`|\[[^\]]+\]\([^)]+\))/)) {
    const link = part.match(/^\[([^\]]+)\]\(([^)]+)\)$/);
    if (part.startsWith("**") && part.length > 4) parent.append(element("strong", part.slice(2, -2)));
    else if (part.startsWith("*") && part.length > 2) parent.append(element("em", part.slice(1, -1)));
    else if (part.startsWith("`") && part.length > 2) parent.append(element("code", part.slice(1, -1)));
    else if (link) parent.append(`${link[1]} (${link[2]})`);
    else parent.append(part);
  }
  return parent;
}

function element(name, text = "") {
  return Object.assign(document.createElement(name), { textContent: text });
}

/** The cells of a row; a bar within a cell is written \|. */
const cells = (line) => line.trim().replace(/^\||(?<!\\)\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));

function table(lines) {
  const box = element("div");
  box.className = "scroll";
  box.tabIndex = 0;
  const rows = lines.filter((line) => !/^[\s|:-]+$/.test(line)).map((line, n) => {
    const row = element("tr");
    cells(line).forEach((cell) => row.append(inline(element(n ? "td" : "th"), cell)));
    return row;
  });
  const all = element("table");
  all.append(...rows);
  box.append(all);
  return box;
}

/** Each kind of block: the pattern of its first line, of the following ones, and the function that renders them. */
const BLOCKS = [
  [/^```/, /^(?!```)/, (lines) => element("pre", lines.slice(1).join("\n"))],
  [/^#{1,6} /, /^(?!)/, ([line]) => inline(element(line.startsWith("# ") ? "h3" : "h4"), line.replace(/^#+ /, ""))],
  [/^\|/, /^\|/, table],
  [/^[-*] /, /^([-*] |\s+\S)/, (lines) => list(lines)],
  [/^\S/, /^(?!```|#|\||[-*] )\S/, (lines) => inline(element("p"), lines.map((line) => line.replace(/^> ?/, "")).join(" "))],
];

function list(lines) {
  const items = [];
  for (const line of lines) {
    if (/^[-*] /.test(line)) items.push(line.slice(2));
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  const all = element("ul");
  all.append(...items.map((item) => inline(element("li"), item)));
  return all;
}

export function rendered(markdown) {
  const lines = markdown.replace(/^---\n[\s\S]*?\n---\n/, "").split("\n"); // without the front matter
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
