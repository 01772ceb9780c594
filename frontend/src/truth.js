// Whether the ledger and the venue agree: when they were last compared, what differs, what to do.

import { Rows, attr, el, show, text } from "./dom.js";
import { clock, day, since } from "./format.js";

export class Truth {
  constructor({ compare }) {
    this.compare = compare;
    this.verdict = el("b", {});
    this.when = el("time", {});
    this.button = el("button", { type: "button", class: "mx-button", title: "Ask the venue for orders, trades and balances now", onclick: () => this.press() }, "Compare now");
    this.list = el("ul", {});
    this.node = el(
      "div", { class: "mx-truth", role: "status", "aria-label": "Ledger and venue" },
      el("div", { class: "mx-truth-line" }, el("span", { class: "mx-truth-words" }, this.verdict, " ", this.when), this.button),
      this.list,
    );
    this.rows = new Rows(this.list, () => {
      const node = el("li", {});
      return { node, update: ({ words }) => text(node, words) };
    });
    this.last = null;
  }

  async press() {
    this.button.disabled = true;
    text(this.button, "Comparing…");
    await this.compare();
    this.button.disabled = false;
    text(this.button, "Compare now");
  }

  update(desk) {
    this.last = desk.reconciliation;
    const unsure = desk.orders.filter((order) => order.state === "UNKNOWN").length;
    const differences = this.last?.differences ?? [];
    const open = this.last?.unknown_left ?? 0;
    const bad = desk.disputed.length > 0 || differences.length > 0 || unsure > 0;
    attr(this.node, "data-level", bad ? "bad" : open ? "warn" : this.last ? "good" : "none");
    text(this.verdict, verdict({ disputed: desk.disputed.length, differences: differences.length, unsure, open, compared: this.last !== null }));
    const told = desk.disputed.map(({ symbol, why }) => ({
      key: `disputed ${symbol}`,
      words: `${symbol} is disputed, nothing is entered there: ${why}. Look at the venue; then ${desk.halt ? "" : "halt, and "}resume with a reason.`,
    }));
    this.rows.update([...told, ...differences.map((words) => ({ key: words, words }))], ({ key }) => key);
    show(this.list, told.length + differences.length > 0);
    attr(this.when, "title", this.last && `${day(this.last.at_ms)} ${clock(this.last.at_ms)} UTC: ${this.last.orders_asked} orders asked, ${this.last.fills_found} missed fills found, ${this.last.external} orders that are not ours`);
  }

  tick(venue) {
    const words = this.last ? `compared ${since(venue.now() - this.last.at_ms)} ago, ${clock(this.last.at_ms)} UTC` : "it is done at every start";
    text(this.when, words);
  }
}

function verdict({ disputed, differences, unsure, open, compared }) {
  const told = [
    [disputed, "disputed symbol"], [differences, "difference"], [unsure, "order of unknown fate", "orders of unknown fate"],
  ].filter(([count]) => count > 0).map(([count, one, many]) => `${count} ${count === 1 ? one : many ?? `${one}s`}`);
  if (told.length) return `✕ ${told.join(", ")}`;
  if (!compared) return "○ Ledger and venue not compared yet";
  return open ? `! ${open} open ${open === 1 ? "question" : "questions"} then` : "✓ Ledger and venue agree";
}
