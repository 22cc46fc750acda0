// A text field for dtabs: line numbers, colours, and mistakes marked where they are.

import { h, later, show } from "./dom.js";
import { check } from "./net.js";

const PATH = /[/\w:.#$%\\-]/;

/** An editor in `place`. `changed(text, isGood)` is told after each check. */
export function editor(place, { label, readOnly, changed }) {
  const gutter = h("pre", { class: "gutter", "aria-hidden": "true" });
  const paint = h("pre", { class: "paint", "aria-hidden": "true" });
  const marks = h("ul", { class: "marks", id: "marks" });
  const status = h("p", { class: "quiet", role: "status", id: "checked" });
  const area = h("textarea", {
    id: "dtab", "aria-label": label, "aria-describedby": "checked marks", spellcheck: "false", autocapitalize: "off",
    autocomplete: "off", wrap: "off", readonly: readOnly,
  });
  let found = [];
  let running = null;

  const draw = () => {
    const text = area.value;
    const lines = text.split("\n").length;
    const bad = new Map(found.map((m) => [m.line, m.level]));
    gutter.replaceChildren(...Array.from({ length: lines }, (_, i) =>
      h("span", { class: bad.get(i + 1) ?? "" }, `${bad.has(i + 1) ? (bad.get(i + 1) === "error" ? "✗" : "!") : " "}${String(i + 1).padStart(3)}\n`)));
    paint.replaceChildren(...painted(text, found), "\n");
    area.rows = Math.max(8, lines + 1);
    paint.scrollLeft = area.scrollLeft;
  };

  const ask = async () => {
    running?.abort();
    running = new AbortController();
    const text = area.value;
    try {
      const answer = await check(text, running.signal);
      if (text !== area.value) return;
      found = answer.marks;
      const errors = found.filter((m) => m.level === "error").length;
      status.textContent = errors > 0 ? `${errors} mistake${errors === 1 ? "" : "s"}` : `${answer.entries} rule${answer.entries === 1 ? "" : "s"}, no mistake`;
      area.setAttribute("aria-invalid", String(errors > 0));
      show(marks, ...found.map((m) => h("li", {},
        h("button", { type: "button", class: `mark ${m.level}`, onclick: () => select(m.offset, m.length) },
          h("span", {}, m.level === "error" ? "✗ " : "! "), `line ${m.line}, column ${m.column}: ${m.message}`))));
      draw();
      changed(text, answer.ok);
    } catch (e) {
      if (e.name !== "AbortError") status.textContent = `The text could not be checked: ${e.message}`;
    }
  };
  const soon = later(150, ask);

  const select = (offset, length) => {
    area.focus();
    area.setSelectionRange(offset, offset + Math.max(length, 0));
  };

  area.oninput = () => { found = []; draw(); soon(); };
  area.onscroll = () => { paint.scrollLeft = area.scrollLeft; };
  place.replaceChildren(h("div", { class: "editor" }, gutter, h("div", { class: "pane" }, paint, area)), status, marks);
  draw();
  return {
    get text() { return area.value; },
    set text(text) {
      if (text === area.value) return;
      area.value = text;
      found = [];
      draw();
      ask();
    },
    focus: () => area.focus(),
    /** Selects the rule of a delegation step, if the text has it. */
    find(dentry) {
      // Steps show weights with two digits.
      const weight = (_, n) => (Number(n).toFixed(2) === "1.00" ? "" : `${Number(n).toFixed(2)}*`);
      const bare = (text) => text.replace(/\s+/g, "").replace(/(\d+\.?\d*|\.\d+)\*(?=[/(~!$])/g, weight);
      const wanted = bare(`${dentry.prefix}=>${dentry.dst}`);
      let at = 0;
      for (const part of area.value.split(";")) {
        const code = part.replace(/(^|\s)#.*$/gm, (m) => " ".repeat(m.length));
        if (bare(code) === wanted) {
          const start = at + code.search(/\S/);
          select(start, at + part.trimEnd().length - start);
          return true;
        }
        at += part.length + 1;
      }
      return false;
    },
    check: ask,
  };
}

// Pieces of the text with their colours; marks lie over them.
function painted(text, marks) {
  const kinds = tokens(text);
  const cuts = new Set([0, text.length]);
  for (const [from, to] of kinds) cuts.add(from).add(to);
  for (const m of marks) cuts.add(m.offset).add(m.offset + m.length);
  const at = [...cuts].filter((n) => n <= text.length).sort((a, b) => a - b);
  const out = [];
  for (let i = 0; i + 1 < at.length; i++) {
    const [from, to] = [at[i], at[i + 1]];
    const kind = kinds.find(([a, b]) => a <= from && from < b)?.[2];
    const mark = marks.find((m) => m.offset <= from && from < m.offset + m.length);
    const names = [kind, mark && `under ${mark.level}`].filter(Boolean).join(" ");
    out.push(names ? h("span", { class: names }, text.slice(from, to)) : text.slice(from, to));
  }
  for (const m of marks.filter((m) => m.offset >= text.length || m.length === 0)) out.push(h("span", { class: `under ${m.level}` }, " "));
  return out;
}

/** Above it, text stays without colours. */
const COLOURED = 20000;

// `[from, to, kind]`: comments, prefixes, arrows and signs, namers.
function tokens(text) {
  const out = [];
  if (text.length > COLOURED) return out;
  let [i, inPrefix] = [0, true];
  while (i < text.length) {
    const c = text[i];
    let end = i + 1;
    if (c === "#" && !(i > 0 && PATH.test(text[i - 1]))) {
      while (end < text.length && text[end] !== "\n") end++;
      out.push([i, end, "comment"]);
    } else if (c === "/") {
      while (end < text.length && (PATH.test(text[end]) || text[end] === "*" && text[end - 1] === "/")) end++;
      out.push([i, end, inPrefix ? "prefix" : /^\/[#$]/.test(text.slice(i, end)) ? "namer" : "path"]);
    } else if (text.startsWith("=>", i)) {
      end = i + 2;
      inPrefix = false;
      out.push([i, end, "sign"]);
    } else if ("|&*~!$;()".includes(c)) {
      if (c === ";") inPrefix = true;
      out.push([i, end, "sign"]);
    } else if (/[\d.]/.test(c)) {
      out.push([i, end, "weight"]);
    }
    i = end;
  }
  return out;
}
