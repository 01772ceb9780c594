// What is held, where its stop and its targets are, and what was earned.

import { Rows, attr, el, show, text } from "./dom.js";
import { amount, clock, countdown, day, money, percent, price, sign } from "./format.js";

export class Positions {
  constructor({ choose, flatten }) {
    this.cards = el("div", { class: "mx-cards" });
    this.orders = el("ul", { class: "mx-orders", "aria-label": "Open orders" });
    this.empty = el("p", { class: "mx-empty" }, "No position. What a snipe buys at an opening shows up here, with its stop, its targets and its time stop.");
    this.flat = new Confirm("Flatten…", "Sell everything that is held?", "Sell everything", flatten);
    this.node = el(
      "section", { class: "mx-panel mx-positions" },
      el("h2", {}, "Positions", this.flat.node),
      el("div", { class: "mx-scroll", tabindex: 0, "aria-label": "Positions" }, this.cards, this.orders, this.empty),
    );
    this.rows = new Rows(this.cards, () => new PositionCard(choose));
    this.orderRows = new Rows(this.orders, () => new OrderLine());
  }

  update(desk) {
    const quote = desk.risk.quote;
    this.rows.update(desk.positions.map((item) => ({ item, quote })), ({ item }) => item.symbol);
    this.orderRows.update(desk.orders, (order) => order.client_id);
    show(this.empty, desk.positions.length === 0 && desk.orders.length === 0);
    show(this.orders, desk.orders.length > 0);
    show(this.flat.node, desk.positions.length > 0);
  }

  tick(venue) {
    for (const card of this.rows.rows.values()) card.tick(venue.now());
  }
}

/** A button that asks once more, in place. */
class Confirm {
  constructor(label, question, yes, act) {
    this.first = el("button", { type: "button", class: "mx-button mx-danger", onclick: () => this.ask(true) }, label);
    this.sure = el("button", { type: "button", class: "mx-button mx-danger", onclick: () => { this.ask(false); act(); } }, yes);
    this.second = el(
      "span", { class: "mx-confirm", role: "group", onkeydown: (event) => event.key === "Escape" && this.ask(false) },
      el("span", {}, question), this.sure,
      el("button", { type: "button", class: "mx-button mx-quiet", onclick: () => this.ask(false) }, "Keep"),
    );
    this.node = el("span", { class: "mx-aside" }, this.first, this.second);
    this.ask(false);
  }

  ask(open) {
    show(this.first, !open);
    show(this.second, open);
    if (open) this.sure.focus();
  }
}

class PositionCard {
  constructor(choose) {
    this.symbol = el("button", { type: "button", class: "mx-symbol", onclick: () => choose(this.item.symbol) });
    this.size = el("div", { class: "mx-facts" });
    this.gain = el("span", { class: "mx-gain" });
    this.share = el("span", { class: "mx-share" });
    this.track = new Track();
    this.stop = el("span", { "data-is": "stop" });
    this.target = el("span", { "data-is": "target" });
    this.time = el("span", { "data-is": "time" });
    this.node = el(
      "article", { class: "mx-card" },
      el("div", { class: "mx-card-top" }, this.symbol, el("span", { class: "mx-result" }, this.gain, this.share)),
      this.size,
      this.track.node,
      el("div", { class: "mx-card-end" }, this.stop, this.target, this.time),
    );
  }

  update({ item, quote }) {
    this.item = item;
    text(this.symbol, item.symbol);
    text(this.size, `${amount(item.quantity)} at ${price(item.average_cost)}  →  ${price(item.price)}  ·  ${money(item.value)} ${quote}`);
    text(this.gain, `${money(item.unrealised, true)} ${quote}`);
    text(this.share, percent(item.unrealised_fraction));
    for (const node of [this.gain, this.share]) attr(node, "data-sign", sign(item.unrealised));
    const to = (goal) => (item.price === null ? `at ${price(goal)}` : percent(Number(goal) / Number(item.price) - 1));
    text(this.stop, item.stop_price === null ? "no stop" : `stop ${to(item.stop_price)}`);
    attr(this.stop, "title", item.stop_price && `Everything is sold at ${price(item.stop_price)}`);
    const next = item.targets.find((each) => !each.filled);
    text(this.target, next ? `next target ${to(next.price)}` : "all targets sold");
    attr(this.target, "title", next && `${Math.round(Number(next.share) * 100)} % is sold at ${price(next.price)}`);
    this.track.update(item);
  }

  tick(now) {
    const left = this.item.time_stop_ms === null ? null : this.item.time_stop_ms - now;
    text(this.time, left === null ? "no time stop" : left > 0 ? `time stop in ${countdown(left)}` : "time stop reached");
  }
}

/** From the stop to the last target: where the price stands between them. */
class Track {
  constructor() {
    this.entry = el("i", { class: "mx-at", "data-is": "entry", title: "Average cost" });
    this.price = el("i", { class: "mx-at", "data-is": "price", title: "Price" });
    this.fill = el("i", { class: "mx-run" });
    this.line = el("div", { class: "mx-line" }, this.fill, this.entry);
    this.node = el("div", { class: "mx-track", role: "img" }, this.line);
    this.line.append(this.price);
    this.rows = new Rows(this.node, () => {
      const node = el("span", { class: "mx-target" });
      return { node, update: (each) => this.updateTarget(node, each) };
    });
    this.rows.parent = el("div", { class: "mx-targets" });
    this.node.append(this.rows.parent);
  }

  updateTarget(node, { target, at, gain }) {
    node.style.left = `${at * 100}%`;
    attr(node, "data-filled", target.filled);
    text(node, `${target.filled ? "✓ " : ""}${percent(gain, 0)}`);
    attr(node, "title", `Sell ${Math.round(Number(target.share) * 100)} % at ${price(target.price)}${target.filled ? ": done" : ""}`);
  }

  update(item) {
    const cost = Number(item.average_cost ?? item.price);
    const prices = [item.stop_price ?? cost, ...item.targets.map((each) => each.price), cost].map(Number);
    const low = Math.min(...prices);
    const high = Math.max(...prices);
    const at = (value) => Math.min(1, Math.max(0, (Number(value) - low) / (high - low || 1)));
    this.entry.style.left = `${at(cost) * 100}%`;
    show(this.price, item.price !== null);
    const here = at(item.price ?? cost);
    this.price.style.left = `${here * 100}%`;
    this.fill.style.left = `${Math.min(here, at(cost)) * 100}%`;
    this.fill.style.width = `${Math.abs(here - at(cost)) * 100}%`;
    attr(this.fill, "data-sign", here >= at(cost) ? "up" : "down");
    const targets = item.targets.map((target) => ({ target, at: at(target.price), gain: Number(target.price) / cost - 1 }));
    this.rows.update(targets, ({ target }) => target.price);
    attr(this.node, "aria-label", `Price ${price(item.price)} between stop ${price(item.stop_price)} and last target ${price(high)}`);
  }
}

class OrderLine {
  constructor() {
    this.node = el("li", {});
  }

  update(order) {
    attr(this.node, "data-side", order.side);
    text(this.node, `${order.side.toLowerCase()} ${amount(order.quantity)} ${order.symbol} at ${price(order.price)}  ·  ${order.state.toLowerCase().replaceAll("_", " ")}${Number(order.filled) > 0 ? `, ${amount(order.filled)} filled` : ""}`);
  }
}

export class Results {
  constructor() {
    this.list = el("ul", { class: "mx-results" });
    this.empty = el("p", { class: "mx-empty" }, "Nothing was closed yet.");
    this.sum = el("span", { class: "mx-count" });
    this.node = el("section", { class: "mx-panel mx-closed" }, el("h2", {}, "Closed", this.sum), el("div", { class: "mx-scroll", tabindex: 0, "aria-label": "Closed snipes" }, this.list, this.empty));
    this.rows = new Rows(this.list, () => new ResultLine());
  }

  update(desk) {
    const latest = desk.results.toSorted((a, b) => b.closed_ms - a.closed_ms);
    this.rows.update(latest.map((result) => ({ result, today: desk.at_ms })), ({ result }) => result.snipe_id);
    show(this.empty, latest.length === 0);
    text(this.sum, latest.length ? `${latest.length}, ${latest.filter((each) => Number(each.profit) > 0).length} with profit` : "");
  }
}

class ResultLine {
  constructor() {
    this.time = el("time", {});
    this.symbol = el("b", {});
    this.reason = el("span", { class: "mx-by" });
    this.profit = el("span", { class: "mx-gain" });
    this.node = el("li", {}, this.time, this.symbol, this.reason, this.profit);
  }

  update({ result, today }) {
    text(this.time, day(result.closed_ms) === day(today) ? clock(result.closed_ms).slice(0, 5) : day(result.closed_ms).split(" ").slice(1, 3).join(" "));
    attr(this.time, "title", `${day(result.closed_ms)} ${clock(result.closed_ms)} UTC`);
    text(this.symbol, result.symbol);
    text(this.reason, result.reason);
    text(this.profit, money(result.profit, true));
    attr(this.profit, "data-sign", sign(result.profit));
  }
}
