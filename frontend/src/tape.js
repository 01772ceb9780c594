// The tape of events.

import { Rows, attr, el, show, text } from "./dom.js";
import { LEVELS, clock } from "./format.js";

export class Tape {
  constructor() {
    this.list = el("ol", { class: "mx-tape" });
    this.empty = el("p", { class: "mx-empty" }, "Nothing has happened yet.");
    this.node = el("section", { class: "mx-panel mx-events" }, el("h2", {}, "Events", el("span", { class: "mx-count" }, "times in UTC")), el("div", { class: "mx-scroll", tabindex: 0, "aria-label": "Events, latest first" }, this.list, this.empty));
    this.rows = new Rows(this.list, () => new TapeLine());
  }

  update(desk) {
    this.rows.update(desk.tape.toReversed(), (each) => each.seq);
    show(this.empty, desk.tape.length === 0);
  }
}

class TapeLine {
  constructor() {
    this.time = el("time", {});
    this.mark = el("span", { class: "mx-mark" });
    this.symbol = el("b", {});
    this.words = el("span", {});
    this.node = el("li", {}, this.time, this.mark, el("span", { class: "mx-words" }, this.symbol, " ", this.words));
  }

  update(event) {
    attr(this.node, "data-level", event.level);
    attr(this.node, "title", event.kind);
    text(this.time, clock(event.at_ms));
    text(this.mark, LEVELS[event.level] ?? "·");
    text(this.symbol, event.symbol ?? "");
    text(this.words, event.text);
  }
}
