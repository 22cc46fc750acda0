// Namespaces: their list, and one with its dtab to edit, a name to try, and its history.

import { address, badge, code, h, later, link, say, show, table } from "./dom.js";
import { diff } from "./diff.js";
import { editor } from "./editor.js";
import { delegate, follow, look, remove, save } from "./net.js";
import { tree } from "./tree.js";

const to = (name) => `#/ns/${encodeURIComponent(name)}`;

export function namespaces(place) {
  const list = h("div", {}, h("p", { class: "quiet" }, "Loading…"));
  const field = h("input", { id: "new", required: true, autocomplete: "off", spellcheck: "false", "data-search": "" });
  const create = (event) => { event.preventDefault(); location.hash = to(field.value.trim()); };
  place.replaceChildren(
    h("h1", {}, "Dtab namespaces"), list,
    h("form", { class: "row", onsubmit: create }, h("label", { for: "new" }, "Open or create "), field, h("button", {}, "Open")));
  follow("namespaces", {}, (now) => show(list, ...rows(now)), (why) => say(why, "bad"));
}

function rows(now) {
  if (!now.known) return [h("p", {}, badge("warn", "the dtab store has not answered yet"))];
  const state = (n) => (n.state === "present" && !n.reason ? badge("good", "good") : n.state === "present" ? badge("warn", "last good one serves") : badge("bad", n.state));
  return [table("Namespaces", ["Namespace", "State", "Rules", "Version", "What is wrong"],
    now.namespaces.map((n) => [link(to(n.name), n.name), state(n), n.entries ?? "", code(n.version ?? ""), n.reason ?? ""]),
    "There are none yet. Create the first one below, or with: namerctl dtab create default FILE")];
}

/** One namespace. Gives back whether something would be lost by leaving. */
export function namespace(place, name, params) {
  const page = new Page(place, name, params.get("path") ?? "");
  page.start();
  return () => page.isChanged;
}

class Page {
  constructor(place, name, path) {
    this.name = name;
    // What the text in the editor was made from: version and text; `null`: there is none yet.
    this.base = null;
    this.loaded = false;
    this.mayWrite = false;
    this.isGood = true;
    this.note = h("div", {});
    this.buttons = h("div", { class: "row" });
    this.result = h("div", {});
    this.past = h("div", {});
    const holder = h("div", {});
    this.path = h("input", { id: "path", value: path, placeholder: "/svc/web", autocomplete: "off", spellcheck: "false", "data-search": "" });
    place.replaceChildren(
      h("h1", {}, "Namespace ", code(name)), this.note,
      h("div", { class: "two" },
        h("section", { "aria-labelledby": "t-dtab" }, h("h2", { id: "t-dtab" }, "Dtab"), holder, this.buttons),
        h("section", { "aria-labelledby": "t-try" }, h("h2", { id: "t-try" }, "Try a name"),
          h("form", { class: "row", onsubmit: (e) => { e.preventDefault(); this.explain(true); } },
            h("label", { for: "path" }, "Name "), this.path, h("button", {}, "Explain")),
          this.result)),
      h("section", { "aria-labelledby": "t-past" }, h("h2", { id: "t-past" }, "History"), this.past));
    place.onkeydown = (event) => this.key(event);
    this.editor = editor(holder, { label: `Dtab of ${name}`, readOnly: false, changed: (text, ok) => this.changed(text, ok) });
    this.soon = later(300, () => this.explain(false));
  }

  start() {
    follow("dtab", { namespace: this.name }, (now) => this.arrived(now), (why) => say(why, "bad"));
    look("overview").then((o) => { this.mayWrite = o.may_write; this.draw(); }, () => {});
  }

  get isChanged() {
    return this.loaded && this.editor.text !== (this.base?.text ?? "");
  }

  // The store says what it holds now.
  arrived(now) {
    const stored = now.state === "present" ? { version: now.version, text: now.dtab } : null;
    const warn = now.reason ? [badge(stored ? "warn" : "bad", stored ? "what is stored now cannot be read; the last good one serves" : "the stored dtab cannot be read"), " ", now.reason] : [];
    if (now.state === "pending") return show(this.note, h("p", {}, badge("warn", "the dtab store has not answered yet")));
    const isNews = stored?.version !== this.base?.version;
    if (!this.loaded || (isNews && !this.isChanged)) {
      this.take(stored);
      if (this.loaded && isNews) say("the dtab was changed elsewhere; this is the new one");
      this.loaded = true;
      this.theirs = undefined;
    } else if (isNews) {
      this.theirs = stored;
    } else {
      this.theirs = undefined;
    }
    show(this.note, h("div", {}, warn.length > 0 && h("p", {}, warn), !stored && now.state === "absent" && h("p", {}, badge("quiet", "there is no such namespace yet; saving creates it")), this.conflict()));
    this.draw();
  }

  take(stored) {
    this.base = stored;
    this.editor.text = stored?.text ?? "";
    this.history();
    this.explain(false);
  }

  // Somebody else has written while this text was edited: both versions, and what can be done.
  conflict() {
    if (this.theirs === undefined) return null;
    const theirs = this.theirs;
    const mine = diff(theirs?.text ?? "", this.editor.text, "What your text would change in theirs");
    return h("div", { class: "conflict", role: "alert" },
      h("p", {}, badge("warn", theirs ? "changed elsewhere while you were editing" : "deleted elsewhere while you were editing")),
      h("div", { class: "two" },
        h("div", {}, h("h3", {}, "Theirs"), h("pre", { class: "diff", tabindex: "0", role: "region", "aria-label": "Their version" }, theirs?.text ?? "(deleted)")),
        h("div", {}, h("h3", {}, "Yours, against theirs"), mine ?? h("p", {}, "no difference"))),
      h("div", { class: "row" },
        h("button", { type: "button", onclick: () => { this.theirs = undefined; this.take(theirs); this.settle(); } }, "Take theirs"),
        h("button", { type: "button", onclick: () => { this.theirs = undefined; this.base = theirs; this.settle(); } }, "Keep mine, to be saved over theirs")));
  }

  settle() {
    show(this.note, h("div", {}));
    this.draw();
    this.editor.focus();
  }

  changed(text, ok) {
    this.checked = text;
    this.isGood = ok;
    this.draw();
    if (ok) this.soon();
  }

  draw() {
    const is = this.isChanged;
    show(this.buttons,
      h("button", { type: "button", class: "main", disabled: !is || !this.isGood || !this.mayWrite || this.theirs !== undefined, onclick: () => this.review() }, "Save…"),
      h("button", { type: "button", disabled: !is, onclick: () => { this.editor.text = this.base?.text ?? ""; } }, "Undo all"),
      h("button", { type: "button", disabled: !this.base || !this.mayWrite, onclick: () => this.drop() }, "Delete…"),
      h("span", { class: "quiet" }, !this.mayWrite ? "read-only" : is ? "changed, not saved" : this.base ? `version ${this.base.version}` : "new"));
  }

  key(event) {
    if (!(event.ctrlKey || event.metaKey)) return;
    if (event.key === "s") {
      event.preventDefault();
      this.editor.check().then(() => this.review());
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.explain(true);
    }
  }

  // The difference, then the write.
  review() {
    if (!this.mayWrite) return say("this page is read-only", "warn");
    if (!this.isGood) return say("the dtab has mistakes", "bad");
    if (!this.isChanged) return say("nothing has changed");
    const text = this.editor.text;
    const comments = /(^|[\s;|&()])#/.test(text);
    const shown = diff(this.base?.text ?? "", text, "What will change") ?? h("p", {}, "Only blanks differ.");
    ask(this.base ? `Save ${this.name}?` : `Create ${this.name}?`, [shown, comments && h("p", {}, badge("warn", "comments and layout are not kept by dtab stores"))], "Save", () => this.write(text));
  }

  async write(text) {
    try {
      await save(this.name, text, this.base?.version ?? null);
      const now = await look("dtab", { namespace: this.name });
      this.base = { version: now.version, text: now.dtab };
      this.editor.text = now.dtab;
      this.history();
      this.settle();
      say("saved");
    } catch (e) {
      if (![409, 412, 404].includes(e.status)) return say(e.message, "bad");
      const now = await look("dtab", { namespace: this.name }).catch(() => null);
      say("somebody else was first; nothing was written", "bad");
      if (now) {
        this.theirs = now.state === "present" ? { version: now.version, text: now.dtab } : null;
        show(this.note, h("div", {}, this.conflict()));
        this.draw();
      }
    }
  }

  drop() {
    const message = h("p", {}, badge("bad", "names that were bound here lead nowhere afterwards"), " ", "All nodes that use this namespace are told within a second.");
    ask(`Delete ${this.name}?`, [message], "Delete", async () => {
      try {
        await remove(this.name, this.base.version);
        this.base = null;
        this.editor.text = "";
        location.hash = "#/namespaces";
      } catch (e) {
        say(e.message, "bad");
      }
    });
  }

  // With unsaved changes by the text alone; else as stored, and followed.
  explain(asked) {
    const path = this.path.value.trim();
    this.leave?.();
    this.leave = null;
    if (!path) return show(this.result, h("p", { class: "quiet" }, "A name such as /svc/web: every step is shown, with the text on the left, saved or not."));
    address(`${to(this.name)}?${new URLSearchParams({ path })}`);
    const good = (answer) => show(this.result, tree(answer, (dentry) => this.editor.find(dentry) || say("this rule is not in the dtab shown", "warn")));
    const bad = (why) => show(this.result, h("p", {}, badge("bad", why)));
    if (!this.isChanged) {
      this.leave = follow("explain", { namespace: this.name, path }, good, bad);
      return;
    }
    if (this.checked !== this.editor.text) return asked && this.editor.check().then(() => this.explain(false));
    if (!this.isGood) return asked && bad("the dtab has mistakes");
    this.trying?.abort();
    this.trying = new AbortController();
    delegate(this.editor.text, path, this.trying.signal).then(good, (e) => e.name !== "AbortError" && bad(e.message));
  }

  async history() {
    if (!this.base) return show(this.past, h("p", { class: "quiet" }, "None yet."));
    try {
      const { history } = await look("history", { namespace: this.name });
      const restore = (past) => h("button", { type: "button", onclick: () => { this.editor.text = past.dtab; this.editor.focus(); say("an old version is in the editor; save it to restore it"); } }, "Put into the editor");
      const row = (past, i) => [
        code(past.version), past.written ? new Date(past.written * 1000).toLocaleString() : "", past.entries,
        i === 0 ? "now" : h("details", {}, h("summary", {}, "what has changed since"), diff(past.dtab, this.base?.text ?? "", "Changes since then") ?? "nothing"),
        i === 0 ? "" : restore(past),
      ];
      show(this.past, table("Versions", ["Version", "Written", "Rules", "Difference", ""], history.map(row), "The store keeps none."));
    } catch (e) {
      show(this.past, h("p", { class: "quiet" }, e.message));
    }
  }
}

// A question with what it is about; `yes` is called if it is answered so.
function ask(title, about, word, yes) {
  const dialog = h("dialog", { "aria-labelledby": "ask-title" },
    h("h2", { id: "ask-title" }, title), about,
    h("form", { method: "dialog", class: "row" }, h("button", { value: "yes", class: "main", autofocus: true }, word), h("button", { value: "no" }, "Cancel")));
  dialog.onclose = () => { const is = dialog.returnValue === "yes"; dialog.remove(); if (is) yes(); };
  document.body.append(dialog);
  dialog.showModal();
}
