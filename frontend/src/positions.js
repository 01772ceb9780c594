// What is held: where its stop and its targets are, what cannot be sold and why, and what was left over.

import { Rows, attr, el, show, text } from "./dom.js";
import { amount, base, clock, countdown, money, percent, plain, price, sign, since } from "./format.js";
import { Track, rungs } from "./rungs.js";

const FRESH_MS = 90_000; // no exit acts on a price that is older

export class Positions {
  constructor({ choose, flatten, sweep }) {
    this.cards = el("div", { class: "mx-cards" });
    this.empty = el("p", { class: "mx-empty" }, "No position. What a snipe buys at an opening shows up here, with its stop, its targets and its time stop.");
    this.flat = new Confirm("Flatten…", "Sell everything that is held?", "Sell everything", flatten);
    this.left = new LeftOver(sweep);
    this.node = el(
      "section", { class: "mx-panel mx-positions" },
      el("h2", {}, "Positions", this.flat.node),
      el("div", { class: "mx-scroll", tabindex: 0, "aria-label": "Positions" }, this.cards, this.empty, this.left.node),
    );
    this.rows = new Rows(this.cards, () => new PositionCard(choose));
  }

  update(desk, _chosen, books) {
    const quote = desk.risk.quote;
    const left = new Set(desk.remainders.map((each) => each.symbol));
    const held = desk.positions.filter((each) => each.snipe_id !== null || !left.has(each.symbol));
    const about = (item) => ({
      item, quote, at: desk.at_ms,
      listing: desk.listings.find((each) => each.snipe_id === item.snipe_id && item.snipe_id !== null) ?? null,
      snipe: books.snipes.find((each) => each.snipe_id === item.snipe_id) ?? null,
      raise: desk.tape.findLast((each) => each.kind === "StopRaised" && each.symbol === item.symbol) ?? null,
    });
    this.rows.update(held.map(about), ({ item }) => item.symbol);
    this.left.update(desk.remainders, quote);
    show(this.empty, held.length === 0);
    show(this.flat.node, held.length > 0);
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

/** A line of a card: a name and what is to be said; away while there is nothing. */
class Line {
  constructor(is, name, ...parts) {
    this.name = el("dt", {}, name);
    this.value = el("dd", { "data-is": is }, ...parts);
  }

  show(visible) {
    show(this.name, visible);
    show(this.value, visible);
  }
}

class PositionCard {
  constructor(choose) {
    this.symbol = el("button", { type: "button", class: "mx-symbol", onclick: () => choose(this.item.symbol) });
    this.leaving = el("span", { class: "mx-state mx-leaving" });
    this.size = el("span", {});
    this.old = el("span", {});
    this.gain = el("span", { class: "mx-gain" });
    this.share = el("span", { class: "mx-share" });
    this.track = new Track();
    [this.stopAt, this.stopWhy] = [el("b", {}), el("span", {})];
    this.stop = new Line("stop", "Stop", this.stopAt, " ", this.stopWhy);
    this.peak = new Line("peak", "Trailing");
    this.ladder = el("span", { class: "mx-rungs" });
    this.target = new Line("target", "Ladder", this.ladder);
    this.time = new Line("time", "Time stop");
    this.sale = new Line("sale", "Sale");
    const lines = [this.stop, this.peak, this.target, this.time, this.sale];
    this.node = el(
      "article", { class: "mx-card" },
      el("div", { class: "mx-card-top" }, this.symbol, this.leaving, el("span", { class: "mx-result" }, this.gain, this.share)),
      el("div", { class: "mx-facts" }, this.size, this.old),
      this.track.node,
      el("dl", { class: "mx-card-end" }, ...lines.flatMap((line) => [line.name, line.value])),
    );
    this.chips = new Rows(this.ladder, () => {
      const node = el("span", { class: "mx-rung" });
      return { node, update: (rung) => chip(node, rung) };
    });
  }

  update(told) {
    const { item, quote, listing, snipe } = told;
    this.item = item;
    text(this.symbol, item.symbol);
    const leaving = listing?.state === "EXITING";
    show(this.leaving, leaving);
    text(this.leaving, `▽ EXITING${snipe?.exit_why ? `: ${snipe.exit_why}` : ""}`);
    text(this.size, `${amount(item.quantity)} ${base(item.symbol, quote)} at ${price(item.average_cost)}  →  ${price(item.price)}  ·  ${money(item.value)} ${quote}`);
    text(this.gain, `${money(item.unrealised, true)} ${quote}`);
    text(this.share, percent(item.unrealised_fraction));
    for (const node of [this.gain, this.share]) attr(node, "data-sign", sign(item.unrealised));
    const plan = snipe?.exit ?? listing?.exit ?? null;
    this.updateStop(told, plan);
    const steps = rungs(item, plan, snipe?.entry_price ?? item.average_cost);
    this.target.show(steps.length > 0);
    this.chips.update(steps.map((rung) => ({ ...rung, quote })), ({ key }) => key);
    this.sale.show(item.sellable !== true && item.why !== "");
    text(this.sale.value, `${item.sellable === null ? "not sure" : "not possible"}: ${item.why}`);
    this.track.update(item, steps);
    this.updateAge(told);
  }

  /** The bid's age in the picture itself: the pill above tells how old the picture is. */
  updateAge({ item, at }) {
    const old = item.price_at_ms === null ? null : at - item.price_at_ms;
    const idle = old !== null && old > FRESH_MS;
    text(this.old, old === null ? "no price yet" : `bid ${since(old)} old`);
    attr(this.old, "class", old === null || idle ? "mx-old" : "mx-name");
    attr(this.old, "title", idle ? "No stop and no exit acts on a price older than 90 s" : null);
  }

  updateStop({ item, quote, snipe, raise }, plan) {
    if (item.stop_price === null) {
      text(this.stopAt, "none");
      text(this.stopWhy, item.snipe_id === null ? "· no snipe looks after it; sell it at the venue" : "");
      this.peak.show(false);
      return;
    }
    const [now, entry] = [Number(item.stop_price), Number(snipe?.entry_price ?? item.average_cost)];
    const far = item.price === null ? "no price to compare with" : `${percent(now / Number(item.price) - 1)} from the bid`;
    text(this.stopAt, `${price(now)} ${quote}`);
    const first = plan === null ? null : entry * (1 - Number(plan.stop_loss));
    const why = raise?.text.replace(/^stop raised to [^:]*: /, "") ?? "it followed the bid";
    const raised = first === null ? `raised: ${why}` : `raised ${percent(now / first - 1)} from ${price(first)}: ${why}`;
    const planned = plan === null ? "" : `as planned, ${percent(-Number(plan.stop_loss), 0)} from the entry`;
    text(this.stopWhy, [far, item.stop_raised ? raised : planned].filter(Boolean).map((each) => `· ${each}`).join(" "));
    attr(this.stop.value, "title", `Everything is sold once the best bid is at ${item.stop_price} ${quote} or below`);
    this.peak.show(item.trailing !== null || item.peak_price !== null);
    const gap = item.trailing === null ? "no trailing stop" : `${plain(100 * Number(item.trailing))} % below the highest bid`;
    text(this.peak.value, `${gap} · ${item.peak_price === null ? "no rise yet" : `peak ${price(item.peak_price)} ${quote}`}`);
  }

  tick(now) {
    const end = this.item.time_stop_ms;
    const left = end === null ? null : end - now;
    text(this.time.value, left === null ? "none" : left > 0 ? `in ${countdown(left)}, at ${clock(end)} UTC` : `reached at ${clock(end)} UTC`);
  }
}

const SIGNS = { sold: "✓", partly: "◐", resting: "○", waiting: "–" };
const WORDS = { sold: "sold", partly: "partly sold", resting: "rests at the venue", waiting: "not placed" };

function chip(node, { state, gain, sold, quantity, at, share, quote }) {
  attr(node, "data-state", state);
  const count = state === "waiting" ? "not placed" : state === "sold" ? amount(sold) : `${amount(sold)} / ${amount(quantity)}`;
  text(node, `${SIGNS[state]} ${percent(gain, 0)} · ${count}`);
  attr(node, "title", `${Math.round(share * 100)} % of the entry at ${plain(at)} ${quote}: ${WORDS[state]}`);
}

/** What snipes that are over could not sell: dust, as a rule. */
class LeftOver {
  constructor(sweep) {
    this.list = el("ul", {});
    this.sell = new Confirm("Sell…", "Sell what can be sold?", "Sell it", sweep);
    this.node = el("div", { class: "mx-left-over" }, el("h3", {}, "Left over", this.sell.node), this.list);
    this.rows = new Rows(this.list, () => {
      const [what, worth, why] = [el("b", {}), el("span", {}), el("p", {})];
      return { node: el("li", {}, what, worth, why), update: (each) => this.write(each, what, worth, why) };
    });
  }

  update(remainders, quote) {
    this.quote = quote;
    this.rows.update(remainders, (each) => each.snipe_id);
    show(this.node, remainders.length > 0);
    show(this.sell.node, remainders.some((each) => each.sellable));
  }

  write(each, what, worth, why) {
    text(what, `${amount(each.quantity)} ${base(each.symbol, this.quote)}`);
    text(worth, each.value === null ? "no price" : `${plain(each.value)} ${this.quote}`);
    text(why, each.sellable ? "Large enough to be sold by now" : `Cannot be sold: ${each.why}`);
  }
}
