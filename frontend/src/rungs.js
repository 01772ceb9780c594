// The take-profits of a position: what rests, what was sold, what was not placed, and where they stand.

import { Rows, attr, el, show } from "./dom.js";
import { price } from "./format.js";

const NEAR = 0.005; // a rung's order stands at its gain, rounded to the venue's tick

/** Each order of the ladder, and each rung of the plan that has none; the nearest first. */
export function rungs(item, plan, entry) {
  const cost = Number(entry);
  const orders = item.targets.map((target) => ({
    key: target.client_id,
    at: Number(target.price),
    gain: Number(target.price) / cost - 1,
    share: Number(target.share),
    sold: target.sold,
    quantity: target.quantity,
    state: target.filled ? "sold" : Number(target.sold) > 0 ? "partly" : "resting",
  }));
  const planned = (plan?.ladder ?? []).map((rung, index) => ({
    key: `rung ${index}`,
    at: cost * (1 + Number(rung.gain)),
    gain: Number(rung.gain),
    share: Number(rung.share),
    sold: "0",
    quantity: "0",
    state: "waiting",
  }));
  const missing = planned.filter((rung) => !orders.some((order) => Math.abs(order.at / rung.at - 1) < NEAR));
  return [...orders, ...missing].toSorted((a, b) => a.at - b.at);
}

/** From the stop to the last target: where the price stands between them. */
export class Track {
  constructor() {
    this.entry = el("i", { class: "mx-at", "data-is": "entry", title: "Average cost" });
    this.price = el("i", { class: "mx-at", "data-is": "price", title: "Best bid" });
    this.fill = el("i", { class: "mx-run" });
    this.marks = el("span", {});
    this.line = el("div", { class: "mx-line" }, this.fill, this.marks, this.entry, this.price);
    this.node = el("div", { class: "mx-track", role: "img" }, this.line);
    this.rows = new Rows(this.marks, () => {
      const node = el("i", { class: "mx-target" });
      return { node, update: ({ rung, place }) => { node.style.left = `${place * 100}%`; attr(node, "data-state", rung.state); } };
    });
  }

  update(item, steps) {
    const cost = Number(item.average_cost ?? item.price);
    const prices = [item.stop_price ?? cost, ...steps.map((each) => each.at), cost].map(Number);
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
    this.rows.update(steps.map((rung) => ({ rung, place: at(rung.at) })), ({ rung }) => rung.key);
    attr(this.node, "aria-label", `Bid ${price(item.price)} between stop ${price(item.stop_price)} and last target ${price(high)}`);
  }
}
