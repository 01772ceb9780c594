// The matches, best first: symbol, when, how alike, and what each came to.

import { Rows, attr, el, show, text } from "../dom.js";
import { percent } from "../format.js";
import { moment } from "./times.js";

export class List {
  constructor(choose) {
    this.choose = choose;
    this.count = el("span", { class: "mx-count" });
    this.rows = el("ol", { class: "mx-found", role: "listbox", "aria-label": "Matches", tabindex: 0 });
    this.nothing = el("p", { class: "mx-empty" });
    this.head = el("div", { class: "mx-found-head", "aria-hidden": true }, ...["", "symbol", "start, UTC", "r", "then"].map((words) => el("span", {}, words)));
    this.node = el("section", { class: "mx-panel mx-list" }, el("h2", {}, "Matches", this.count), this.head, el("div", { class: "mx-scroll", tabindex: -1 }, this.rows, this.nothing));
    this.keep = new Rows(this.rows, () => this.row());
    this.rows.addEventListener("keydown", (event) => this.step(event));
    this.clear();
  }

  clear(words = "Drag a window across the candles. Every window of history that was over before it began is compared with it, whatever the symbol.") {
    Object.assign(this, { all: [], returns: {}, chosen: null });
    this.draw();
    text(this.nothing, words);
    show(this.nothing, true);
    text(this.count, "");
  }

  update(rows) {
    Object.assign(this, { all: rows, returns: {}, chosen: null });
    show(this.nothing, rows.length === 0);
    text(this.nothing, "No window of history may be compared with this one. Lower the horizon, or draw it later.");
    text(this.count, rows.length ? `best r ${rows[0].correlation.toFixed(3)}` : "");
    this.draw();
  }

  came(returns, words) {
    this.returns = returns;
    attr(this.head.lastChild, "title", `Return over the ${words} after the match`);
    this.draw();
  }

  mark(rank) {
    this.chosen = rank;
    this.draw();
    this.rows.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }

  draw() {
    show(this.head, this.all.length > 0);
    this.keep.update(this.all, (row) => row.rank);
    attr(this.rows, "aria-activedescendant", this.chosen === null ? null : `mx-found-${this.chosen}`);
  }

  row() {
    const parts = ["rank", "symbol", "when", "r", "then"].map((name) => el("span", { class: `mx-f-${name}` }));
    const [rank, symbol, when, r, then] = parts;
    const bar = el("i", {});
    const words = el("b", {});
    r.append(bar, words);
    const node = el("li", { role: "option" }, ...parts);
    let item = null;
    node.addEventListener("click", () => item && this.choose(item.rank));
    return {
      node,
      update: (next) => {
        item = next;
        node.id = `mx-found-${next.rank}`;
        text(rank, String(next.rank));
        text(symbol, next.symbol);
        attr(symbol, "title", next.symbol);
        text(when, moment(next.start_ms));
        text(words, next.correlation.toFixed(3));
        bar.style.width = `${Math.max(0, 2 * next.correlation - 1) * 100}%`; // from one half on: below it two shapes are not alike
        const came = this.returns[next.rank];
        text(then, came === undefined ? "" : percent(came, 2));
        attr(then, "data-sign", came === undefined ? "flat" : came >= 0 ? "up" : "down");
        attr(node, "aria-selected", next.rank === this.chosen);
      },
    };
  }

  step(event) {
    const by = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined || !this.all.length) return;
    event.preventDefault();
    event.stopPropagation();
    const at = this.all.findIndex((row) => row.rank === this.chosen);
    const next = Math.max(0, Math.min(this.all.length - 1, at + by));
    this.choose(this.all[next].rank);
  }
}
