// Every order: the open ones first, then the newest, then those on the account that are not ours.

import { Rows, attr, el, show, text } from "./dom.js";
import { amount, base, clock, day, plain, since } from "./format.js";

const STATES = { DECIDED: "○", SENT: "➚", ACCEPTED: "◌", PARTIALLY_FILLED: "◐", FILLED: "✓", CANCEL_SENT: "⊗", CANCELED: "⊘", REJECTED: "✕", UNKNOWN: "?", ENDED: "…" };
const LIVE = new Set(["DECIDED", "SENT", "ACCEPTED", "PARTIALLY_FILLED", "CANCEL_SENT", "UNKNOWN"]);
const TYPES = { LIMIT: "limit", LIMIT_MAKER: "maker limit", IMMEDIATE_OR_CANCEL: "at once or not at all, limit", FILL_OR_KILL: "all or nothing, limit", MARKET: "market" };

/** What a leg of a snipe is called: `b` buys, `t2` is the second take-profit, `x` sells everything. */
export function legWords(leg) {
  const target = /^t(\d+)(v\d+)?$/.exec(leg);
  if (target) return `target ${target[1]}${target[2] ? `, plan ${target[2]}` : ""}`;
  return { b: "entry", x: "exit" }[leg] ?? leg;
}

export class Orders {
  constructor({ choose, truth }) {
    this.truth = truth;
    this.count = el("span", { class: "mx-count" });
    this.lists = { open: section("Open", choose), latest: section("Over, the newest first", choose) };
    this.others = section("Not ours, never touched", choose, () => new OtherLine());
    this.empty = el(
      "div", { class: "mx-empty" },
      el("strong", {}, "No order yet"),
      el("p", {}, "An armed snipe sends its entry at the opening. Its targets and exits follow here, with what the venue answered."),
    );
    this.note = el("p", { class: "mx-foot" });
    this.node = el(
      "section", { class: "mx-panel mx-orders" },
      el("h2", {}, "Orders", this.count),
      truth.node,
      el("div", { class: "mx-scroll", tabindex: 0, "aria-label": "Orders" }, this.empty, this.lists.open.node, this.others.node, this.lists.latest.node, this.note),
    );
  }

  update(desk, _chosen, books) {
    this.truth.update(desk);
    const told = (items) => items.map((order) => ({ order, quote: desk.risk.quote }));
    const open = desk.orders.toSorted((a, b) => (b.state === "UNKNOWN") - (a.state === "UNKNOWN") || b.decided_ms - a.decided_ms);
    const ids = new Set(open.map((order) => order.client_id));
    const latest = books.orders.filter((order) => !ids.has(order.client_id) && order.decided_ms <= desk.at_ms).map(ended);
    this.lists.open.update(told(open), ({ order }) => order.client_id);
    this.lists.latest.update(told(latest), ({ order }) => order.client_id);
    this.others.update(told(desk.external.toReversed()), ({ order }) => order.venue_id);
    const nothing = open.length + latest.length + desk.external.length === 0;
    show(this.empty, nothing && !books.why);
    attr(this.node, "data-empty", nothing);
    const unsure = open.filter((order) => order.state === "UNKNOWN").length;
    text(this.count, [unsure ? `${unsure} UNKNOWN` : "", `${open.length} open`, desk.external_count ? `${desk.external_count} not ours` : ""].filter(Boolean).join(" · "));
    attr(this.count, "data-level", unsure ? "bad" : null);
    text(this.note, books.why ? `Orders that are over cannot be read: ${books.why}` : books.more ? "Older orders: mexclab orders" : "");
    show(this.note, this.note.textContent !== "");
  }

  tick(venue) {
    this.truth.tick(venue);
    for (const list of [this.lists.open, this.lists.latest, this.others]) list.tick(venue.now());
  }
}

/** The page of orders is a moment older than the picture: what it has as open and the picture has not is over. */
function ended(order) {
  return LIVE.has(order.state) ? { ...order, state: "ENDED" } : order;
}

/** A heading with rows below it; away while there are none. */
function section(title, choose, make = () => new OrderLine(choose)) {
  const list = el("ul", {});
  const node = el("div", { class: "mx-part", "aria-label": title, role: "group" }, el("h3", {}, title), list);
  const rows = new Rows(list, make);
  return {
    node,
    update(items, keyOf) {
      rows.update(items, keyOf);
      show(node, items.length > 0);
    },
    tick(now) {
      for (const row of rows.rows.values()) row.tick(now);
    },
  };
}

class OrderLine {
  constructor(choose) {
    this.side = el("b", { class: "mx-side-word" });
    this.symbol = el("button", { type: "button", class: "mx-symbol", title: "Show its chart", onclick: () => choose(this.order.symbol) });
    this.leg = el("span", { class: "mx-name" });
    this.state = el("span", { class: "mx-state" });
    this.size = el("span", {});
    this.price = el("span", {});
    this.age = el("time", {});
    this.why = el("p", { class: "mx-reason" });
    this.node = el(
      "li", { class: "mx-order" },
      el("div", { class: "mx-who" }, this.side, this.symbol, this.leg, this.state),
      el("div", { class: "mx-facts" }, this.size, this.price, this.age),
      this.why,
    );
  }

  update({ order, quote }) {
    this.order = order;
    attr(this.node, "data-state", order.state);
    attr(this.side, "data-side", order.side);
    text(this.side, order.side);
    text(this.symbol, order.symbol);
    text(this.leg, legWords(order.leg));
    attr(this.leg, "title", order.client_id);
    attr(this.state, "data-state", order.state);
    text(this.state, `${STATES[order.state] ?? "·"} ${order.state.replaceAll("_", " ")}`);
    text(this.size, `${amount(order.filled)} / ${amount(order.quantity)} ${base(order.symbol, quote)} filled`);
    attr(this.size, "title", `${order.filled} filled of ${order.quantity}`);
    text(this.price, order.average_price === null ? `limit ${plain(order.price)} ${quote}` : `got ${plain(order.average_price)} ${quote}`);
    attr(this.price, "title", `${TYPES[order.type] ?? order.type} ${order.price} ${quote}${order.average_price === null ? "" : `; on average ${order.average_price} ${quote}`}`);
    attr(this.age, "title", story(order));
    text(this.why, order.state === "UNKNOWN" ? unsure(order.why) : order.why);
    show(this.why, this.why.textContent !== "");
  }

  tick(now) {
    text(this.age, `${since(now - this.order.decided_ms)} ago`);
  }
}

function unsure(why) {
  return `The venue did not say what became of it${why ? ` (${why})` : ""}. It is being asked; nothing is sent twice.`;
}

function story(order) {
  const steps = [["decided", order.decided_ms], ["sent", order.sent_ms], ["answered", order.acked_ms], ["cancel sent", order.cancel_ms]];
  return steps.filter(([, at]) => at !== null).map(([what, at]) => `${what} ${day(at)} ${clock(at)} UTC`).join("\n");
}

class OtherLine {
  constructor() {
    this.words = el("span", {});
    this.age = el("time", {});
    this.node = el("li", { class: "mx-order mx-other" }, el("div", { class: "mx-facts" }, this.words, this.age));
  }

  update({ order, quote }) {
    this.order = order;
    text(this.words, `${order.side} ${amount(order.quantity)} ${base(order.symbol, quote)} at ${plain(order.price)} ${quote}`);
    attr(this.words, "title", `${order.symbol}, the venue's order ${order.venue_id}. Somebody else placed it on this account; the desk neither counts nor cancels it.`);
    attr(this.age, "title", `first seen ${day(order.seen_ms)} ${clock(order.seen_ms)} UTC`);
  }

  tick(now) {
    text(this.age, `seen ${since(now - this.order.seen_ms)} ago`);
  }
}
