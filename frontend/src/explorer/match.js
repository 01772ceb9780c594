// The bars of one match: what it looked like at its own prices, and what came after it.

import { attr, el, show, text } from "../dom.js";
import { percent } from "../format.js";
import { Candles } from "./candles.js";
import { moment, shortly } from "./times.js";

export class Match {
  constructor(colours, open) {
    this.title = el("strong", {});
    this.result = el("span", { class: "mx-last" });
    this.note = el("span", { class: "mx-count" });
    this.open = el("button", { type: "button", class: "mx-button mx-small", title: "Show this stretch on the large chart", onclick: () => this.shown && open(this.shown) }, "Open");
    this.box = el("div", { class: "mx-canvas" });
    this.shade = el("div", { class: "mx-window", "data-quiet": true });
    this.ahead = el("div", { class: "mx-window mx-ahead" });
    this.veil = el("div", { class: "mx-veil" }, this.shade, this.ahead);
    this.empty = el("div", { class: "mx-over" }, el("strong", {}, "One match"), el("p", {}, "Choose one in the list: its candles, and what came after them."));
    this.node = el(
      "section", { class: "mx-panel mx-match" },
      el("h2", {}, this.title, this.result, this.note, this.open),
      el("div", { class: "mx-stage" }, this.box, this.veil, el("span", { class: "mx-utc" }, "UTC"), this.empty),
    );
    this.candles = new Candles(this.box, colours);
    this.candles.scale.subscribeVisibleLogicalRangeChange(() => this.place());
    this.candles.scale.subscribeSizeChange(() => this.place());
    this.sizes = new ResizeObserver(() => {
      this.candles.scale.fitContent();
      this.place();
    });
    this.sizes.observe(this.box);
    this.clear();
  }

  clear() {
    this.shown = null;
    this.bars = [];
    for (const node of [this.title, this.result, this.note]) text(node, "");
    text(this.title, "Match");
    show(this.open, false);
    show(this.empty, true);
    show(this.veil, false);
  }

  update(shown, bars, step) {
    Object.assign(this, { shown, bars, step });
    this.candles.show(bars);
    this.candles.scale.fitContent();
    const end = shown.start_ms + shown.length * step;
    const [entry, exit] = [end - step, end - step + shown.horizon * step].map((ms) => bars.find((bar) => bar.ms === ms));
    text(this.title, `${shown.rank}  ${shown.symbol}`);
    const gained = entry && exit ? exit.close / entry.close - 1 : null;
    text(this.result, gained === null ? "" : percent(gained, 2));
    this.result.dataset.sign = gained === null ? "flat" : gained >= 0 ? "up" : "down";
    text(this.note, moment(shown.start_ms));
    attr(this.note, "title", `${moment(shown.start_ms)} to ${shortly(end, shown.start_ms)} UTC`);
    show(this.open, true);
    show(this.empty, bars.length === 0);
    show(this.veil, true);
    this.place();
  }

  place() {
    if (!this.shown || !this.bars.length) return;
    const plot = this.candles.plot(this.box);
    Object.assign(this.veil.style, { width: `${Math.max(0, plot.width)}px`, height: `${Math.max(0, plot.height)}px` });
    const { start_ms: start, length, horizon } = this.shown;
    const index = (ms) => this.bars.findIndex((bar) => bar.ms >= ms);
    const [first, end, last] = [start, start + length * this.step, start + (length + horizon) * this.step].map(index);
    const { scale } = this.candles;
    const half = scale.options().barSpacing / 2;
    const at = (place) => scale.logicalToCoordinate(place < 0 ? this.bars.length : place) - half;
    Object.assign(this.shade.style, { left: `${at(first)}px`, width: `${at(end) - at(first)}px` });
    Object.assign(this.ahead.style, { left: `${at(end)}px`, width: `${Math.max(0, at(last) - at(end))}px` });
  }

  paint() {
    this.candles.paint();
  }

  close() {
    this.sizes.disconnect();
    this.candles.close();
  }
}
