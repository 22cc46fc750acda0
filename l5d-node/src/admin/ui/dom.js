// Elements without a framework. Text only ever becomes text: nothing that came from outside is read as markup.

/** An element: `h("a", {href: "x", class: "y", onclick: f}, "text", child)`. `null` and `false` are left out. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === false || value === undefined) continue;
    if (key.startsWith("on")) node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(9).filter((child) => child !== null && child !== false && child !== undefined));
  return node;
}

/** Replaces what is in `place`; what had the focus and a `data-key` has it again. */
export function show(place, ...children) {
  const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  place.replaceChildren(...children.flat(9).filter((child) => child !== null && child !== false && child !== undefined));
  if (key === undefined) return;
  [...place.querySelectorAll("[data-key]")].find((node) => node.dataset.key === key)?.focus();
}

/** A table: titles with `#` at the end are for numbers. Rows are elements or lists of cells. */
export function table(label, titles, rows) {
  const isNumber = titles.map((title) => title.endsWith("#"));
  const cell = (value, i) => h("td", { class: isNumber[i] ? "n" : null }, value);
  return h("div", { class: "scroll" }, h("table", { "aria-label": label },
    h("thead", {}, h("tr", {}, titles.map((title, i) => h("th", { scope: "col", class: isNumber[i] ? "n" : null }, title.replace("#", ""))))),
    h("tbody", {}, rows.map((row) => row instanceof Element ? row : h("tr", {}, row.map(cell))))));
}

/** A table's row with a class. */
export function row(cls, numbers, cells) {
  return h("tr", { class: cls }, cells.map((value, i) => h("td", { class: numbers.includes(i) ? "n" : null }, value)));
}
