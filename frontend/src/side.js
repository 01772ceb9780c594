// Limits as bars, failing checks with their reasons, and the tape of events.

import { Rows, attr, el, show, text } from "./dom.js";
import { LEVELS, clock } from "./format.js";

export class Limits {
  constructor() {
    this.list = el("ul", { class: "mx-limits" });
    this.checks = el("ul", { class: "mx-checks" });
    this.node = el("section", { class: "mx-panel mx-guard" }, el("h2", {}, "Limits"), el("div", { class: "mx-scroll", tabindex: 0, "aria-label": "Limits and checks" }, this.checks, this.list));
    this.rows = new Rows(this.list, () => new LimitLine());
    this.checkRows = new Rows(this.checks, () => {
      const node = el("li", {}, el("b", {}), el("span", {}));
      return { node, update: (check) => { text(node.firstChild, `✕ ${check.name}`); text(node.lastChild, check.why); } };
    });
  }

  update(desk) {
    this.rows.update(desk.risk.limits, (each) => each.name);
    const failing = desk.health.checks.filter((check) => !check.ok);
    this.checkRows.update(failing, (check) => check.name);
    show(this.checks, failing.length > 0);
  }
}

class LimitLine {
  constructor() {
    this.name = el("span", { class: "mx-limit-name" });
    this.value = el("span", { class: "mx-limit-value" });
    this.bar = el("i", {});
    this.node = el("li", {}, this.name, this.value, el("div", { class: "mx-bar" }, this.bar));
  }

  update(limit) {
    const used = Math.min(1, Math.max(0, limit.fraction ?? 0));
    text(this.name, limit.name);
    text(this.value, [limit.used, "/", limit.bound, limit.unit].filter(Boolean).join(" "));
    this.bar.style.width = `${used * 100}%`;
    attr(this.node, "data-level", used >= 1 ? "bad" : used >= 0.75 ? "warn" : "good");
    attr(this.node, "title", `${Math.round(used * 100)} % used`);
  }
}

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
