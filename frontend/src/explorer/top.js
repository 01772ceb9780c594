// The bar above: whose data, which symbol, how old they are, and how long the last answer took.

import { attr, el, show, text } from "../dom.js";
import { clock, since } from "../format.js";
import { Search } from "./search.js";
import { moment } from "./times.js";

const SILENT_MS = 8000; // without a word from the kernel for this long it is gone

/** Shown when the kernel has gone: nothing here is live any more. */
export class Gone {
  constructor() {
    this.node = el(
      "div", { class: "mx-banner", "data-level": "bad", role: "alert" },
      el("strong", {}, "This page is on its own"),
      el("span", { class: "mx-banner-words" }, "Its kernel does not answer any more, so no bar comes and no window is searched."),
      el("button", { type: "button", class: "mx-button", onclick: () => location.reload() }, "Reload"),
    );
    show(this.node, false);
  }

  tick(silence) {
    show(this.node, silence > SILENT_MS);
  }
}

export class Top {
  constructor({ choose, change, reread, home }) {
    this.search = new Search(choose);
    this.interval = el("select", { class: "mx-field", "aria-label": "Length of a bar", onchange: () => change(this.interval.value) });
    this.source = el("span", { class: "mx-pill mx-source" });
    this.time = el("span", { class: "mx-time" }, "--:--:--");
    this.age = el("span", { class: "mx-pill mx-age", title: "How long ago the last bar closed, by the kernel's clock" }, "no bars yet");
    this.took = el("span", { class: "mx-pill mx-took", title: "From the question to the matches, and to the whole answer" });
    this.busy = el("span", { class: "mx-pill mx-busy", role: "status" });
    const again = el("button", { type: "button", class: "mx-button mx-small", title: "Read the history anew: bars and symbols that came since", "aria-label": "Read the history anew", onclick: reread }, "↻");
    const desk = el("a", { class: "mx-home", href: "/" }, "Desk");
    show(desk, home);
    this.node = el(
      "header", { class: "mx-top" },
      el("div", { class: "mx-brand" }, el("strong", {}, "mexclab"), el("span", {}, "explorer")),
      this.search.node, this.interval, desk, el("span", { class: "mx-venue" }),
      el("div", { class: "mx-pills" }, this.source, this.busy, this.took, this.age), again,
      el("div", { class: "mx-clock" }, this.time, el("span", { class: "mx-zone" }, "UTC")),
    );
    for (const pill of [this.took, this.busy, this.source, this.interval]) show(pill, false);
    Object.assign(this, { offset: 0, close: null, step: 60_000, doing: "" });
  }

  hello({ symbols, intervals, interval, simulated }) {
    this.search.knows(symbols);
    this.interval.replaceChildren(...intervals.map((name) => el("option", { value: name }, name)));
    this.interval.value = interval;
    show(this.interval, intervals.length > 1);
    text(this.source, simulated ? "SIMULATED" : "lake");
    attr(this.source, "data-level", simulated ? "warn" : null);
    attr(this.source, "title", simulated ? "No market ever made these prices: the lake is empty. Bring bars with mexclab import or mexclab fetch bars." : null);
    show(this.source, simulated);
  }

  /** The kernel's clock in milliseconds, as it was a moment ago. */
  heard(ms) {
    this.offset = ms - performance.now();
  }

  now() {
    return performance.now() + this.offset;
  }

  shows(bars) {
    this.search.is(bars.symbol);
    if (bars.interval) this.interval.value = bars.interval;
    this.step = bars.step;
    this.close = bars.end;
  }

  /** How long an answer took; null: there is none. */
  answered(message) {
    show(this.took, message !== null);
    if (message === null) return;
    const { search_ms: search, took_ms: took } = message;
    text(this.took, took === undefined ? `matches in ${Math.round(search)} ms` : `${Math.round(search)} ms · verdict ${Math.round(took)} ms`);
  }

  /** What the kernel is busy with, so that nothing is answered before it is done. */
  works(words) {
    this.doing = words;
    show(this.busy, Boolean(words));
    text(this.busy, words);
  }

  tick(silence) {
    if (!this.offset) return "none";
    text(this.time, clock(this.now()));
    if (this.close === null) return "none";
    const old = this.now() - this.close;
    const live = old < 3 * this.step;
    const level = silence > SILENT_MS ? "bad" : live ? "good" : old < 60 * this.step ? "warn" : "none";
    attr(this.age, "data-level", level === "none" ? null : level);
    text(this.age, old < 0 ? "bar still open" : live || level === "warn" ? `last bar ${since(old)} ago` : `bars end ${moment(this.close)}, ${since(old)} ago`);
    return level;
  }
}
