// The box in which a symbol is looked up: type a part of it, arrows and Enter take one.

import { attr, el, show } from "../dom.js";

const SHOWN = 12;

export class Search {
  constructor(choose) {
    this.choose = choose;
    this.symbols = [];
    this.input = el("input", {
      class: "mx-field mx-search-field", type: "text", role: "combobox", placeholder: "Symbol…  ( / )", "aria-label": "Symbol", "aria-expanded": false,
      "aria-controls": "mx-search-list", "aria-autocomplete": "list", autocomplete: "off", spellcheck: false, maxlength: 40,
      oninput: () => this.offer(), onfocus: () => this.open(), onblur: () => this.shut(), onkeydown: (event) => this.key(event),
    });
    this.list = el("ul", {
      class: "mx-search-list", id: "mx-search-list", role: "listbox", onpointerdown: (event) => event.preventDefault(), onwheel: (event) => this.wheel(event),
    });
    this.node = el("div", { class: "mx-search" }, this.input, this.list);
    Object.assign(this, { at: 0, from: 0, found: [], shown: "" });
    show(this.list, false);
  }

  knows(symbols) {
    this.symbols = symbols;
  }

  is(symbol) {
    this.shown = symbol;
    if (this.input !== this.input.getRootNode().activeElement) this.input.value = symbol;
  }

  open() {
    this.input.select();
    this.offer(true);
  }

  wheel(event) {
    event.preventDefault();
    this.scroll(Math.sign(event.deltaY) * 3);
  }

  shut() {
    show(this.list, false);
    attr(this.input, "aria-expanded", false);
    attr(this.input, "aria-activedescendant", null);
    this.input.value = this.shown;
  }

  /** Names that begin with what was typed come before those that hold it, short ones before long ones. */
  offer(all = false) {
    const typed = all ? "" : this.input.value.trim().toUpperCase().replace("/", "");
    const [begin, hold] = [[], []];
    for (const name of this.symbols) {
      const at = name.toUpperCase().indexOf(typed);
      if (at === 0) begin.push(name);
      else if (at > 0) hold.push(name);
    }
    if (typed) for (const names of [begin, hold]) names.sort((one, other) => one.length - other.length); // stable: else by name
    this.found = [...begin, ...hold];
    this.at = all ? Math.max(0, this.found.indexOf(this.shown)) : 0;
    this.from = this.at - 3;
    this.draw();
    show(this.list, true);
    attr(this.input, "aria-expanded", true);
  }

  /** The rows around the one that Enter takes: two thousand names are not drawn to see twelve. */
  draw() {
    const last = this.found.length - SHOWN;
    this.from = Math.max(0, Math.min(this.from, last, this.at), Math.min(this.at - SHOWN + 1, last));
    const rows = this.found.slice(this.from, this.from + SHOWN).map((name, index) => el(
      "li", { role: "option", id: `mx-search-${index}`, "aria-selected": this.from + index === this.at, "aria-posinset": this.from + index + 1, "aria-setsize": this.found.length, onpointerdown: (event) => this.take(name, event) }, name,
    ));
    const place = `${this.from + 1}–${this.from + rows.length} of ${this.found.length.toLocaleString("en-US")}`;
    const foot = !rows.length ? "no such symbol in the lake" : this.found.length > SHOWN ? `${place} · type, ↑ ↓ or scroll` : "";
    this.list.replaceChildren(...rows, ...(foot ? [el("li", { class: "mx-search-more" }, foot)] : []));
    attr(this.input, "aria-activedescendant", rows.length ? `mx-search-${this.at - this.from}` : null);
  }

  /** Look further down the names, or up; what Enter takes goes along where it would be lost from sight. */
  scroll(rows) {
    this.from = Math.max(0, Math.min(this.from + rows, this.found.length - SHOWN));
    this.at = Math.max(this.from, Math.min(this.from + SHOWN - 1, this.at));
    this.draw();
  }

  key(event) {
    event.stopPropagation();
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: SHOWN, PageUp: -SHOWN }[event.key];
    if (event.key === "Escape") this.input.blur();
    else if (event.key === "Enter" && this.found?.length) this.take(this.found[this.at], event);
    else if (steps) {
      event.preventDefault();
      if (this.list.hidden) return this.offer(true);
      this.at = Math.max(0, Math.min(this.found.length - 1, this.at + steps));
      this.draw();
    }
    return undefined;
  }

  take(name, event) {
    event.preventDefault();
    this.shown = name;
    this.input.value = name;
    this.input.blur();
    this.shut();
    this.choose(name);
  }
}
