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
    this.list = el("ul", { class: "mx-search-list", id: "mx-search-list", role: "listbox" });
    this.node = el("div", { class: "mx-search" }, this.input, this.list);
    this.at = 0;
    this.shown = "";
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

  shut() {
    show(this.list, false);
    attr(this.input, "aria-expanded", false);
    this.input.value = this.shown;
  }

  /** Names that begin with what was typed come before those that hold it. */
  offer(all = false) {
    const typed = all ? "" : this.input.value.trim().toUpperCase().replace("/", "");
    const begin = this.symbols.filter((name) => name.toUpperCase().startsWith(typed));
    const hold = typed ? this.symbols.filter((name) => name.toUpperCase().indexOf(typed) > 0) : [];
    this.found = [...begin, ...hold];
    this.at = all ? Math.max(0, this.found.indexOf(this.shown)) : 0;
    const from = Math.max(0, Math.min(this.at - 3, this.found.length - SHOWN));
    this.rows = this.found.slice(from, from + SHOWN).map((name, index) =>
      el("li", { role: "option", "aria-selected": from + index === this.at, onpointerdown: (event) => this.take(name, event) }, name));
    const more = this.found.length - this.rows.length;
    const foot = this.found.length ? (more > 0 ? [el("li", { class: "mx-search-more" }, `${more} more`)] : []) : [el("li", { class: "mx-search-more" }, "no such symbol in the lake")];
    this.list.replaceChildren(...this.rows, ...foot);
    this.from = from;
    show(this.list, true);
    attr(this.input, "aria-expanded", true);
  }

  key(event) {
    event.stopPropagation();
    if (event.key === "Escape") this.input.blur();
    else if (event.key === "Enter" && this.found?.length) this.take(this.found[this.at], event);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (this.list.hidden) this.offer(true);
      const last = this.from + this.rows.length - 1;
      this.at = Math.max(this.from, Math.min(last, this.at + (event.key === "ArrowDown" ? 1 : -1)));
      this.rows.forEach((row, index) => attr(row, "aria-selected", this.from + index === this.at));
    }
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
