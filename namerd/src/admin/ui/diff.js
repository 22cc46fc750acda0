// The difference of two texts, line by line.

import { h } from "./dom.js";

/** Longer texts are shown as all gone and all new. */
const MOST = 3000;

/** `[sign, line]` with sign `-`, `+` or blank. */
export function lines(before, after) {
  const a = split(before);
  const b = split(after);
  if (a.length > MOST || b.length > MOST) return [...a.map((l) => ["-", l]), ...b.map((l) => ["+", l])];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let ends = 0;
  while (ends < a.length - start && ends < b.length - start && a[a.length - 1 - ends] === b[b.length - 1 - ends]) ends++;
  const middle = longest(a.slice(start, a.length - ends), b.slice(start, b.length - ends));
  const same = (l) => [" ", l];
  return [...a.slice(0, start).map(same), ...middle, ...a.slice(a.length - ends).map(same)];
}

const split = (text) => text.split("\n").map((l) => l.trimEnd()).filter((l, i, all) => l !== "" || i < all.length - 1);

// Longest common subsequence, from the end.
function longest(a, b) {
  const width = b.length + 1;
  const table = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      table[i * width + j] = a[i] === b[j] ? table[(i + 1) * width + j + 1] + 1 : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
    }
  }
  const out = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      out.push([" ", a[i++]]);
      j++;
    } else if (j >= b.length || (i < a.length && table[(i + 1) * width + j] >= table[i * width + j + 1])) out.push(["-", a[i++]]);
    else out.push(["+", b[j++]]);
  }
  return out;
}

/** Lines around changes that are shown. */
const AROUND = 3;
const WORDS = { "-": "removed: ", "+": "added: ", " ": "" };

/** The difference as an element; `null` if there is none. */
export function diff(before, after, label) {
  const all = lines(before, after);
  const near = all.map((_, i) => all.slice(Math.max(0, i - AROUND), i + AROUND + 1).some(([sign]) => sign !== " "));
  if (!near.includes(true)) return null;
  const rows = all.flatMap(([sign, line], i) => {
    if (!near[i]) return near[i - 1] ? [h("span", { class: "gap" }, "…")] : [];
    const kind = { "-": "gone", "+": "new", " ": "" }[sign];
    return [h("span", { class: kind }, h("span", { class: "hidden" }, WORDS[sign]), `${sign} ${line}`)];
  });
  return h("pre", { class: "diff", tabindex: "0", role: "region", "aria-label": label }, rows);
}
