// What was earned: each snipe that is over, with a line of its post-mortem.

import { Rows, attr, el, show, text } from "./dom.js";
import { clock, day, money, sign } from "./format.js";

export class Results {
  constructor() {
    this.list = el("ul", { class: "mx-results" });
    this.empty = el("p", { class: "mx-empty" }, "Nothing was closed yet. A snipe shows up here once all that it bought is sold: what it earned, why it left, how long it held.");
    this.sum = el("span", { class: "mx-count" });
    this.node = el("section", { class: "mx-panel mx-closed" }, el("h2", {}, "Closed", this.sum), el("div", { class: "mx-scroll", tabindex: 0, "aria-label": "Closed snipes" }, this.list, this.empty));
    this.rows = new Rows(this.list, () => new ResultLine());
  }

  update(desk) {
    const latest = desk.results.toSorted((a, b) => b.closed_ms - a.closed_ms);
    this.rows.update(latest.map((result) => ({ result, today: desk.at_ms, quote: desk.risk.quote })), ({ result }) => result.snipe_id);
    show(this.empty, latest.length === 0);
    text(this.sum, latest.length ? `${latest.length}, ${latest.filter((each) => Number(each.profit) > 0).length} with profit · UTC` : "");
  }
}

class ResultLine {
  constructor() {
    this.time = el("time", {});
    this.symbol = el("b", {});
    this.headline = el("span", { class: "mx-by" });
    this.profit = el("span", { class: "mx-gain" });
    this.node = el("li", {}, this.time, el("span", { class: "mx-result-top" }, this.symbol, this.profit), this.headline);
  }

  update({ result, today, quote }) {
    text(this.time, day(result.closed_ms) === day(today) ? clock(result.closed_ms).slice(0, 5) : day(result.closed_ms).split(" ").slice(1, 3).join(" "));
    attr(this.time, "title", `closed ${day(result.closed_ms)} ${clock(result.closed_ms)} UTC`);
    text(this.symbol, result.symbol);
    text(this.headline, rest(result.headline) || result.reason);
    attr(this.headline, "title", result.headline || null);
    text(this.profit, `${money(result.profit, true)} ${quote}`);
    attr(this.profit, "data-sign", sign(result.profit));
  }
}

/** The headline without the profit that stands above it already. */
function rest(headline) {
  return headline.replace(/^[+-][\d.]+ [A-Z0-9]+ /, "").replace("(-", "(−");
}
