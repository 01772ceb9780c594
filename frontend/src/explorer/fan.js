// What followed the matches: half of them in the dark band, nine of ten in the pale one; the base rate dashed.

import { el, show, text } from "../dom.js";
import { percent } from "../format.js";
import { Plot, spaced } from "./plot.js";
import { lasting } from "./times.js";

export class Fan {
  constructor(colours) {
    this.colours = colours;
    this.note = el("span", { class: "mx-count" });
    this.plot = new Plot({ label: "What followed the matches", colours, draw: () => this.draw(), read: () => this.tell() });
    this.key = el(
      "p", { class: "mx-key" },
      el("span", { "data-is": "median" }, "median"), el("span", { "data-is": "half" }, "half"), el("span", { "data-is": "most" }, "90 %"),
      el("span", { "data-is": "base" }, "base rate"), (this.keyActual = el("span", { "data-is": "query" }, "what did follow")),
    );
    this.empty = el("div", { class: "mx-over" }, el("strong", {}, "What followed"), el("p", {}, "The spread of what came after the matches, beside what comes anyway."));
    this.node = el("section", { class: "mx-panel mx-fan" }, el("h2", {}, "What followed", this.note), el("div", { class: "mx-stage" }, this.plot.node, this.key, this.empty));
    this.clear();
  }

  clear() {
    Object.assign(this, { fan: null, actual: [], stale: false });
    text(this.note, "");
    show(this.keyActual, false);
    show(this.empty, true);
    this.plot.paint();
  }

  /** A new window: what is shown belongs to the last one until the answer comes. */
  fade() {
    this.stale = true;
    this.plot.paint();
  }

  update(fan, step) {
    Object.assign(this, { fan, step, stale: false });
    show(this.empty, false);
    this.tell();
    this.plot.paint();
  }

  /** Returns of the window's own symbol since its end, one a bar, as far as they are known. */
  follow(actual) {
    this.actual = actual;
    show(this.keyActual, actual.length > 1);
    this.plot.paint();
  }

  tell() {
    if (!this.fan) return;
    const at = this.plot.under();
    const { bar } = this.fan;
    const place = at === null ? bar.length - 1 : bar.reduce((best, value, index) => (Math.abs(value - at) < Math.abs(bar[best] - at) ? index : best), 0);
    this.place = at === null ? null : place;
    text(this.note, `after ${lasting(bar[place] * this.step)}: ${percent(this.fan.q50[place], 2)}, base ${percent(this.fan.base[place], 2)}`);
  }

  draw() {
    if (!this.fan) return;
    const { plot, fan } = this;
    const { text: ink, blue, muted } = this.colours();
    const last = fan.bar.at(-1);
    const actual = this.actual.slice(0, last + 1);
    const values = [...fan.q05, ...fan.q95, ...fan.base, ...actual];
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const room = (high - low) * 0.06 || 0.001;
    plot.span([0, last], [low - room, high + room]);
    plot.axes({ across: (bars) => (bars ? lasting(bars * this.step) : "0"), up: (value) => percent(value, high - low < 0.02 ? 2 : 1), ticks: spaced(last, this.step) });
    const dim = this.stale ? 0.35 : 1;
    plot.rule(plot.box.left, plot.y(0), plot.box.right, plot.y(0), muted);
    plot.band(fan.bar, fan.q05, fan.q95, blue, 0.14 * dim);
    plot.band(fan.bar, fan.q25, fan.q75, blue, 0.24 * dim);
    plot.line(fan.bar, fan.base, muted, { width: 1.75, dash: [5, 4], alpha: dim });
    plot.line(fan.bar, fan.q50, blue, { width: 2.25, alpha: dim });
    if (actual.length > 1) plot.line(actual.map((_, index) => index), actual, ink, { width: 1.5, alpha: dim });
    if (this.place !== null && this.place !== undefined) {
      const x = plot.x(fan.bar[this.place]);
      plot.rule(x, plot.box.top, x, plot.box.bottom, muted, [2, 3]);
    }
  }

  close() {
    this.plot.close();
  }
}
