// The countdown board: every known listing, what is planned for it, and the button that arms it.

import { Rows, attr, el, show, text } from "./dom.js";
import { OVER, STATES, amount, countdown, hours, plain, words } from "./format.js";

const STAGES = [["T-2h", "2h"], ["T-10min", "10m"], ["T-60s", "60s"], ["T-5s", "5s"]];
const FACTS = ["How long before the opening it was found", "No strategy made a plan for it", "Probability of the signal", "The most that is spent", "Never bought above this price"];
const ARMABLE = new Set(["PLANNED", "PREFLIGHT"]);
const SURE_MS = 5000;

export class Board {
  constructor({ choose, arm, disarm }) {
    this.on = { choose, arm, disarm };
    this.ahead = el("ol", { class: "mx-rows" });
    this.opened = el("ol", { class: "mx-rows" });
    this.openedTitle = el("h3", {}, "Opened");
    this.empty = el(
      "div", { class: "mx-empty" },
      el("strong", {}, "No listing is known yet"),
      el("p", {}, "The daemon watches the venue's calendar and its symbol list. A listing shows up here as soon as it is first seen, hours before it opens."),
    );
    this.count = el("span", { class: "mx-count" });
    this.body = el("div", { class: "mx-scroll", tabindex: 0, "aria-label": "Listings" }, this.ahead, this.openedTitle, this.opened, this.empty);
    this.node = el("section", { class: "mx-panel mx-board" }, el("h2", {}, "Listings", this.count), this.body);
    const make = (item) => new ListingRow(item, this.on);
    this.rowsAhead = new Rows(this.ahead, make);
    this.rowsOpened = new Rows(this.opened, make);
  }

  update(desk, chosen) {
    this.about = { mode: desk.mode, quote: desk.risk.quote, chosen };
    const ahead = desk.listings.filter((each) => each.open_ms > desk.at_ms);
    const opened = desk.listings.filter((each) => each.open_ms <= desk.at_ms).reverse();
    const told = (items) => items.map((item) => ({ item, about: this.about }));
    this.rowsAhead.update(told(ahead), ({ item }) => item.symbol);
    this.rowsOpened.update(told(opened), ({ item }) => item.symbol);
    show(this.openedTitle, opened.length > 0);
    show(this.empty, desk.listings.length === 0);
    text(this.count, desk.listings.length ? `${ahead.length} ahead` : "");
  }

  tick(venue) {
    const now = venue.now();
    for (const row of this.rowsAhead.rows.values()) row.tick(now);
    for (const row of this.rowsOpened.rows.values()) row.tick(now);
  }
}

class ListingRow {
  constructor({ item }, on) {
    this.on = on;
    this.symbol = el("button", { type: "button", class: "mx-symbol", title: "Show its chart" }, item.symbol);
    this.name = el("span", { class: "mx-name" });
    this.late = el("span", { class: "mx-late" });
    this.left = el("span", { class: "mx-left" });
    this.state = el("span", { class: "mx-state" });
    this.button = el("button", { type: "button", class: "mx-arm", onclick: (event) => this.press(event) });
    this.facts = el("span", { class: "mx-facts" }, ...FACTS.map((title) => el("span", { title })));
    this.ticks = STAGES.map(([stage, short]) => ({ stage, node: el("span", { class: "mx-tick" }, short) }));
    this.flight = el("span", { class: "mx-flight", role: "img" }, ...this.ticks.map(({ node }) => node));
    this.plan = el("div", { class: "mx-plan" }, this.flight, this.state, this.button);
    this.reason = el("p", { class: "mx-reason" });
    this.node = el(
      "li", { class: "mx-row", onclick: () => on.choose(this.item.symbol) },
      el("div", { class: "mx-who" }, this.symbol, this.name, this.late, this.left),
      this.facts, this.plan, this.reason,
    );
    this.sure = 0;
  }

  update({ item, about }) {
    this.item = item;
    this.about = about;
    attr(this.node, "data-chosen", about.chosen === item.symbol);
    attr(this.node, "data-state", item.state ?? "NONE");
    attr(this.symbol, "aria-pressed", about.chosen === item.symbol);
    text(this.name, item.full_name);
    attr(this.name, "title", item.full_name);
    text(this.late, item.postponed ? `moved ${item.postponed}×` : "");
    attr(this.late, "title", item.postponed ? `The venue moved this opening ${item.postponed} times` : null);
    show(this.plan, item.state !== null);
    attr(this.state, "data-state", item.state ?? "NONE");
    text(this.state, item.state ? `${STATES[item.state] ?? "?"} ${item.state}` : "");
    this.written(item, about.quote).forEach((fact, index) => {
      text(this.facts.children[index], fact);
      show(this.facts.children[index], fact !== "");
    });
    this.updateFlight(item);
    const refused = item.why || words(item.reason);
    const matters = item.state === null || item.state === "ABORTED" || item.state === "MISSED" || (item.reason && !OVER.has(item.state));
    text(this.reason, matters ? refused : "");
    show(this.reason, this.reason.textContent !== "");
    attr(this.reason, "title", item.reason || null);
    this.updateButton();
  }

  written(item, quote) {
    return [
      `lead ${hours(item.lead_h)}`,
      item.state === null ? "no plan" : "",
      item.probability === null ? "" : `p ${Math.round(Number(item.probability) * 100)} %`,
      item.budget === null ? "" : `${amount(item.budget)} ${quote}`,
      item.cap === null ? "" : `cap ${plain(item.cap)}`,
    ];
  }

  updateFlight(item) {
    const told = [];
    for (const { stage, node } of this.ticks) {
      const done = item.preflight.findLast((each) => each.stage === stage);
      attr(node, "data-passed", done ? done.passed : "not yet");
      const what = !done ? "not yet" : done.passed ? "passed" : `failed: ${done.reasons.join("; ")}`;
      attr(node, "title", `Preflight ${stage}: ${what}`);
      told.push(`${stage} ${what}`);
    }
    attr(this.flight, "aria-label", `Preflight checks: ${told.join(", ")}`);
  }

  updateButton() {
    const { state, symbol, budget } = this.item;
    const armable = ARMABLE.has(state);
    show(this.button, armable || state === "ARMED");
    if (performance.now() < this.sure) return;
    this.sure = 0;
    text(this.button, armable ? "Arm" : "Disarm");
    attr(this.button, "data-does", armable ? "arm" : "disarm");
    attr(this.button, "aria-label", armable ? `Arm ${symbol}: it may spend up to ${budget}` : `Disarm ${symbol}`);
  }

  press(event) {
    event.stopPropagation();
    const { state, snipe_id: id, budget } = this.item;
    if (state === "ARMED") {
      this.on.disarm(id);
    } else if (this.about.mode === "live" && !this.sure) {
      this.sure = performance.now() + SURE_MS; // real money: the second press counts
      text(this.button, `Spend ${amount(budget)}?`);
      attr(this.button, "data-does", "sure");
    } else {
      this.sure = 0;
      this.on.arm(id);
    }
  }

  tick(now) {
    const left = this.item.open_ms - now;
    text(this.left, left > 0 ? countdown(left) : `opened ${countdown(left)} ago`);
    attr(this.left, "data-near", left > 0 && left < 600_000);
    attr(this.left, "data-past", left <= 0);
  }
}
