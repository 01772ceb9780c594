// Five large answers: what opens next, what is armed, what is at risk, how the day goes, what is held.

import { attr, el, text } from "./dom.js";
import { OVER, STATES, countdown, money, sign } from "./format.js";

function tile(name, label) {
  const value = el("div", { class: "mx-big" }, "–");
  const note = el("div", { class: "mx-note" }, "not known yet");
  const node = el("section", { class: "mx-tile", "data-tile": name, "data-level": "none", "aria-label": label }, el("h2", {}, label), value, note);
  return { node, value, note };
}

function armedNote(count, halted) {
  if (count === 0) return "nothing is bought by itself";
  if (halted) return "halted: nothing is bought";
  return count === 1 ? "buys by itself when it opens" : `${count} buy by themselves when they open`;
}

export class Headline {
  constructor() {
    this.next = tile("next", "Next opening");
    this.armed = tile("armed", "Armed");
    this.risk = tile("risk", "At risk");
    this.day = tile("day", "Profit today");
    this.held = tile("held", "Held");
    this.node = el("div", { class: "mx-headline" }, ...[this.next, this.armed, this.risk, this.day, this.held].map((each) => each.node));
    this.listing = undefined; // null: there is none
  }

  update(desk) {
    const waiting = desk.listings.filter((each) => !OVER.has(each.state));
    this.listing = waiting.find((each) => each.open_ms > desk.at_ms) ?? null;
    const armed = desk.listings.filter((each) => each.state === "ARMED" || each.state === "FIRING");
    text(this.armed.value, armed.length ? armed.map((each) => each.symbol).join(", ") : "nothing");
    attr(this.armed.node, "data-level", !armed.length ? "none" : desk.halt ? "held back" : "armed");
    text(this.armed.note, armedNote(armed.length, desk.halt !== null));

    const { risk } = desk;
    text(this.risk.value, `${money(risk.at_risk)} ${risk.quote}`);
    attr(this.risk.node, "data-level", Number(risk.at_risk) > 0 ? "risk" : "none");
    text(this.risk.note, risk.equity === null ? "cost of what is held and may still be bought" : `of ${money(risk.equity)} equity`);

    text(this.day.value, `${money(risk.day_pnl, true)} ${risk.quote}`);
    attr(this.day.value, "data-sign", sign(risk.day_pnl));
    attr(this.day.node, "data-level", "some");
    text(this.day.note, `${money(risk.pnl, true)} in all`);

    const over = new Set(desk.remainders.map((each) => each.symbol)); // what was left over has a list of its own
    this.updateHeld(desk.positions.filter((each) => each.snipe_id !== null || !over.has(each.symbol)), risk.quote);
  }

  /** What the positions are worth at the best bid, and what they have gained; the names where no price is known. */
  updateHeld(positions, quote) {
    const names = positions.map((each) => each.symbol).join(", ");
    const unpriced = positions.filter((each) => each.value === null).map((each) => each.symbol);
    const sum = (name) => positions.reduce((total, each) => total + Number(each[name]), 0);
    attr(this.held.node, "data-level", names ? "held" : "none");
    attr(this.held.note, "data-sign", names && !unpriced.length ? sign(sum("unrealised")) : null);
    attr(this.held.note, "title", names || null);
    if (!names || unpriced.length) {
      text(this.held.value, names || "nothing");
      text(this.held.note, names ? `worth not known: no price of ${unpriced.join(", ")}` : "no position");
    } else {
      text(this.held.value, `${money(sum("value"))} ${quote}`);
      text(this.held.note, `${money(sum("unrealised"), true)} not yet sold: ${names}`);
    }
  }

  tick(venue) {
    if (this.listing === undefined) return;
    attr(this.next.node, "data-level", this.listing === null ? "none" : "some");
    if (this.listing === null) {
      text(this.next.value, "nothing ahead");
      text(this.next.note, "no listing is known yet");
      return;
    }
    const { symbol, state, open_ms: open } = this.listing;
    text(this.next.value, countdown(open - venue.now()));
    text(this.next.note, state ? `${symbol}  ${STATES[state]} ${state}` : `${symbol}  no plan`);
  }
}
