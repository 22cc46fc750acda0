// Elements without a framework. Text only ever becomes text: nothing that came from outside is read as markup.

/** An element: `h("a", {href: "x", onclick: f, class: "y"}, "text", child)`. `null` and `false` are left out. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node[name] = value;
    else if (name === "value" || name === "checked" || name === "disabled") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(9).filter((c) => c !== null && c !== undefined && c !== false).map(toNode));
  return node;
}

function toNode(child) {
  return child instanceof Node ? child : String(child);
}

/** Makes `old` look like `next` while keeping elements that stay, with their focus and selection. */
export function morph(old, next) {
  if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName || old.dataset?.key !== next.dataset?.key) {
    old.replaceWith(next);
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== next.data) old.data = next.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name) && !kept(old, name)) old.removeAttribute(name);
  for (const { name, value } of [...next.attributes]) {
    if (old.getAttribute(name) !== value && !kept(old, name)) old.setAttribute(name, value);
  }
  for (const on of ["onclick", "onchange", "oninput", "onkeydown", "onsubmit"]) old[on] = next[on];
  if (old.nodeName === "BUTTON") old.disabled = next.disabled;
  if (old.nodeName === "SELECT") {
    if (document.activeElement !== old && old.value !== next.value) old.value = next.value;
    return;
  }
  if (old.nodeName === "INPUT" || old.nodeName === "TEXTAREA") return;
  const olds = [...old.childNodes];
  const nexts = [...next.childNodes];
  nexts.forEach((child, i) => (i < olds.length ? morph(olds[i], child) : old.append(child)));
  olds.slice(nexts.length).forEach((child) => child.remove());
}

// What the reader opened stays open.
function kept(node, name) {
  return name === "open" && node.nodeName === "DETAILS" || name === "aria-expanded" || name === "tabindex" && node.getAttribute("role") === "treeitem";
}

/** Shows these as all that `place` has. */
export function show(place, ...children) {
  const next = place.cloneNode(false);
  next.append(...children.flat(9).filter(Boolean));
  if (place.firstChild) morph(place, next);
  else place.replaceChildren(...next.childNodes);
}

/** A table whose rows are lists of cells. */
export function table(caption, heads, rows, nothing) {
  if (rows.length === 0) return h("p", { class: "quiet" }, nothing);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {},
      h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell)))))));
}

export const code = (text) => h("code", {}, text);
export const link = (href, ...text) => h("a", { href }, ...text);

/** A word with a colour and a sign, so that the colour is never the only one to tell. */
export function badge(level, text) {
  const sign = { good: "✓", bad: "✗", warn: "!", quiet: "·" }[level];
  return h("span", { class: `badge ${level}` }, h("span", { "aria-hidden": "true" }, sign + " "), text);
}

/** Seconds for people. */
export function age(seconds) {
  if (seconds === null || seconds === undefined) return "never";
  if (seconds < 1) return "now";
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

/** A short time, exactly enough. */
export const span = (seconds) => (seconds < 0.0005 ? "0" : seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`);

export function bytes(n) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (n < 1000 || unit === "GB") return `${n < 10 && unit !== "B" ? n.toFixed(1) : Math.round(n)} ${unit}`;
    n /= 1000;
  }
}

/** Tells everybody, those who listen to the page among them. */
export function say(text, level = "good") {
  const place = document.getElementById("say");
  place.className = `up ${level}`;
  place.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { place.className = ""; }, 6000);
}

/** Calls `f` once nothing has happened for `ms`. */
export function later(ms, f) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => f(...args), ms);
  };
}

/** Writes what a view shows into the address, unless somebody is on the way to another view. */
export function address(hash) {
  const view = (text) => text.split("?")[0];
  if (view(location.hash) === view(hash)) history.replaceState(null, "", hash);
}
