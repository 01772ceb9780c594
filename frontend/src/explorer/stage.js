// The candle chart that a window is drawn on: drag it, move it, pull its edges; shift and drag to look elsewhere.

import { attr, el, show, text } from "../dom.js";
import { percent, price } from "../format.js";
import { Bars } from "./bars.js";
import { Candles } from "./candles.js";
import { lasting, moment, shortly } from "./times.js";

export const [SHORTEST, LONGEST] = [10, 2000]; // bars in a window
const [EDGE, FINGER] = [7, 22]; // pixels around an edge that take hold of it, by a mouse and by a finger
const STILL = 4; // pixels below which a press is no drag
const SETTLING = "settling"; // the chart has not drawn its new bars yet, so where it looks is not known
const SHOWN = 360; // bars that fit on the screen at first

const NOTICE = "TradingView Lightweight Charts™. Copyright (c) 2025 TradingView, Inc. https://www.tradingview.com/";

export class Stage {
  /** `drawn(window, final)` hears of a window `{ start, end }`, open times in ms, both inside; `turn` asks for more bars. */
  constructor({ colours, drawn, turn }) {
    Object.assign(this, { colours, drawn, turn, bars: new Bars(), window: null, drag: null, asked: "" });
    this.title = el("strong", {});
    this.last = el("span", { class: "mx-last" });
    this.note = el("span", { class: "mx-count" });
    this.box = el("div", { class: "mx-canvas" });
    this.label = el("span", { class: "mx-window-label" });
    this.shade = el("div", { class: "mx-window" }, el("i", { "data-edge": "start" }), el("i", { "data-edge": "end" }), this.label);
    this.veil = el("div", { class: "mx-veil" }, this.shade);
    this.hint = el("p", { class: "mx-hint" }, "Drag across the candles");
    this.empty = el("div", { class: "mx-over" }, el("strong", {}, "Reading bars…"));
    const credit = el("a", { class: "mx-credit", href: "https://www.tradingview.com/", target: "_blank", rel: "noopener noreferrer", title: NOTICE }, "TradingView");
    this.area = el(
      "div",
      { class: "mx-stage", tabindex: 0, role: "group", "aria-label": "Candles. Drag to draw a window; with the keyboard: W draws one at the end, arrows move it, [ and ] change its length, Escape clears it." },
      this.box, this.veil, this.hint, el("span", { class: "mx-utc" }, "UTC"), this.empty,
    );
    this.node = el("section", { class: "mx-panel mx-chart" }, el("h2", {}, this.title, this.last, this.note, credit), this.area);
    this.candles = new Candles(this.box, colours, { handleScroll: { pressedMouseMove: false, horzTouchDrag: false, vertTouchDrag: false } });
    this.candles.scale.subscribeVisibleLogicalRangeChange((range) => this.looked(range));
    this.candles.scale.subscribeSizeChange(() => this.place());
    this.sizes = new ResizeObserver(() => this.place());
    this.sizes.observe(this.box);
    show(this.shade, false);
    this.listen();
  }

  listen() {
    const on = (name, hear) => this.area.addEventListener(name, hear, true);
    on("pointerdown", (event) => this.press(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.release(event));
    on("pointercancel", () => this.finish());
    on("dblclick", (event) => {
      const at = this.spot(event);
      if (at?.inside) this.put(at.bar - (this.size ?? 60) + 1, at.bar, true);
    });
  }

  // -- bars ------------------------------------------------------------------------------------------

  update(message, page) {
    const { place, symbol, interval } = message;
    const { bars } = this;
    if (place === "new") {
      if (symbol !== bars.symbol || interval !== bars.interval) this.clear();
      else this.finish(); // the places it began from are those of the old bars
      bars.clear(symbol, interval, message.interval_ms);
    } else if (symbol !== bars.symbol || interval !== bars.interval) return;
    const [before, wasLast] = [bars.length, bars.last?.ms];
    const range = this.candles.scale.getVisibleLogicalRange();
    bars.take(place, page);
    bars.whole = message.whole;
    bars.end = message.end_ms ?? (bars.last ? bars.last.ms + bars.step : null);
    if (place === "older") bars.older = message.more;
    this.asked = place === "new" ? SETTLING : "";
    if (place === "tail" && page.length <= 3) for (const bar of page) this.candles.series.update(bar);
    else this.candles.show(bars.all);
    if (place === "new") this.look(message.about);
    else if (place === "older" && range) {
      const more = bars.length - before;
      this.candles.scale.setVisibleLogicalRange({ from: range.from + more, to: range.to + more });
      this.shift(more);
    }
    this.tell();
    this.place();
    if (place === "tail" && bars.last.ms !== wasLast) this.grew?.();
  }

  /** Bars came in front while something is being dragged: the places it began from have moved. */
  shift(more) {
    const { drag } = this;
    if (!drag) return;
    drag.from.bar += more;
    drag.range = { from: drag.range.from + more, to: drag.range.to + more };
    if (drag.window) drag.window = { start: drag.window.start + more, end: drag.window.end + more };
  }

  /** Put a stretch in the middle of the screen, with as much again around it; null: the latest bars at its right. */
  look(about) {
    const { bars } = this;
    if (!bars.length) return;
    let [end, shown] = [bars.length - 1, SHOWN];
    if (about) {
      const [first, last] = [bars.after(about.start), bars.after(about.end)];
      shown = Math.max(SHOWN, 2 * (last - first));
      end = Math.min(end, Math.round((first + last + shown) / 2));
    }
    this.candles.scale.setVisibleLogicalRange({ from: end - shown, to: end + 6 });
  }

  tell() {
    const { bars } = this;
    show(this.empty, bars.length === 0);
    if (!bars.length) text(this.empty.firstChild, "No bars here");
    text(this.title, bars.symbol);
    const { last, step } = bars;
    if (!last) return;
    const before = bars.all[Math.max(0, bars.after(last.ms - 86_400_000))];
    const since = last.close / before.open - 1;
    show(this.last, bars.whole);
    text(this.last, `${price(last.close)}  ${percent(since)}`);
    attr(this.last, "title", `Close of the last bar, and its change since ${moment(before.ms)} UTC`);
    this.last.dataset.sign = since >= 0 ? "up" : "down";
    text(this.note, `${lasting(step)} bars, ${moment(bars.first.ms)} to ${shortly(last.ms + step, bars.first.ms)} UTC`);
  }

  looked(range) {
    this.place();
    if (!range || !this.bars.length || this.asked) return;
    if (range.from < 200 && this.bars.older) this.ask({ before_ms: this.bars.first.ms });
    else if (range.to > this.bars.length - 200 && !this.bars.whole) this.ask({ after_ms: this.bars.last.ms });
  }

  ask(where) {
    this.asked = JSON.stringify(where);
    this.turn({ symbol: this.bars.symbol, interval: this.bars.interval, ...where });
  }

  // -- the window ------------------------------------------------------------------------------------

  /** The bar under the pointer, and which part of the window that is. */
  spot(event) {
    if (!this.bars.length) return null;
    const frame = this.box.getBoundingClientRect();
    const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
    const plot = this.candles.plot(this.box);
    const inside = x >= 0 && y >= 0 && x < plot.width && y < plot.height;
    const logical = this.candles.scale.coordinateToLogical(Math.max(0, Math.min(x, plot.width)));
    const bar = Math.max(0, Math.min(this.bars.length - 1, Math.round(logical ?? 0)));
    const at = this.edges();
    let part = "new";
    if (at && inside) {
      const reach = event.pointerType === "touch" ? FINGER : EDGE;
      const [left, right] = [Math.abs(x - at.left), Math.abs(x - at.right)];
      if (Math.min(left, right) <= reach) part = left < right ? "start" : "end";
      else if (x > at.left && x < at.right) part = "all";
    }
    return { x, bar, part, inside };
  }

  press(event) {
    if (!event.isPrimary) return this.finish(); // two fingers zoom
    const at = this.spot(event);
    if (!at?.inside || (event.button !== 0 && event.button !== 1)) return undefined;
    if (event.button === 1) event.preventDefault();
    const range = this.candles.scale.getVisibleLogicalRange();
    const part = event.shiftKey || event.button === 1 ? "pan" : at.part;
    this.drag = { part, from: at, range, window: this.window && this.span(), moved: false };
    this.area.setPointerCapture(event.pointerId);
    return undefined;
  }

  move(event) {
    if (!event.isPrimary) return;
    const at = this.spot(event);
    const { drag } = this;
    if (!drag) {
      this.box.style.cursor = !at?.inside || at.part === "new" ? "" : at.part === "all" ? "grab" : "ew-resize";
      return;
    }
    if (!at || (!drag.moved && Math.abs(at.x - drag.from.x) < STILL)) return;
    drag.moved = true;
    if (drag.part === "pan") {
      const { width } = this.candles.plot(this.box);
      const by = ((drag.from.x - at.x) / width) * (drag.range.to - drag.range.from);
      this.candles.scale.setVisibleLogicalRange({ from: drag.range.from + by, to: drag.range.to + by });
      return;
    }
    const by = at.bar - drag.from.bar;
    const { window: had } = drag;
    if (drag.part === "new") this.put(Math.min(at.bar, drag.from.bar), Math.max(at.bar, drag.from.bar), false);
    else if (drag.part === "all") this.put(had.start + by, had.end + by, false);
    else if (drag.part === "start") this.put(Math.min(at.bar, had.end), Math.max(at.bar, had.end), false);
    else this.put(Math.min(at.bar, had.start), Math.max(at.bar, had.start), false);
  }

  release(event) {
    if (!this.drag || !event.isPrimary) return;
    this.area.releasePointerCapture(event.pointerId);
    this.area.focus({ preventScroll: true });
    this.finish();
  }

  /** The hand let go, or the pointer was taken from it: what was drawn so far is asked about. */
  finish() {
    const { drag } = this;
    this.drag = null;
    if (!drag?.moved || drag.part === "pan" || !this.window) return;
    const { start, end } = this.span();
    this.put(start, end, true);
  }

  /** The window as places among the bars. */
  span() {
    return { start: this.bars.after(this.window.start), end: this.bars.after(this.window.end) };
  }

  /** Set the window to the bars from `start` to `end`, as far as there are any. */
  put(start, end, final) {
    const { all } = this.bars;
    if (!all.length) return;
    const length = Math.min(end - start + 1, LONGEST, all.length);
    if (end > all.length - 1) [start, end] = [all.length - length, all.length - 1];
    if (start < 0) [start, end] = [0, length - 1];
    if (end - start + 1 > LONGEST) start = end - LONGEST + 1;
    this.window = { start: all[start].ms, end: all[end].ms };
    show(this.hint, false);
    this.place();
    const enough = end - start + 1 >= SHORTEST;
    attr(this.shade, "data-fits", enough);
    if (enough) this.size = end - start + 1;
    if (enough || final) this.drawn({ ...this.window, length: end - start + 1, enough }, final);
  }

  /** A window of `length` bars that ends with the last one. */
  putLast(length = this.size ?? 60) {
    this.put(this.bars.length - length, this.bars.length - 1, true);
    this.look(null);
  }

  /** Move the window, or let its end out, by so many bars. */
  nudge(by, grow = 0) {
    if (!this.window) return;
    const { start, end } = this.span();
    if (by > 0 && end + by > this.bars.length - 1) by = this.bars.length - 1 - end;
    if (start + by < 0) by = -start;
    const last = Math.max(start + by + SHORTEST - 1, end + by + grow);
    this.put(start + by, last, true);
  }

  clear() {
    this.window = null;
    this.drag = null; // a hand that still holds it would bring it back
    show(this.shade, false);
    show(this.hint, true);
  }

  /** Where the window lies on the screen; null where it cannot be seen. */
  edges() {
    if (!this.window || !this.bars.length) return null;
    const { start, end } = this.span();
    const { scale } = this.candles;
    const [left, right] = [scale.logicalToCoordinate(start), scale.logicalToCoordinate(end)];
    if (left === null || right === null) return null;
    const half = scale.options().barSpacing / 2;
    return { left: left - half, right: right + half };
  }

  /** The chart moves with its next frame: the window is put right at once, and again then. */
  place() {
    this.settle();
    cancelAnimationFrame(this.again);
    this.again = requestAnimationFrame(() => {
      this.again = requestAnimationFrame(() => {
        this.settle();
        if (this.asked !== SETTLING) return;
        this.asked = "";
        this.looked(this.candles.scale.getVisibleLogicalRange());
      });
    });
  }

  settle() {
    const plot = this.candles.plot(this.box);
    Object.assign(this.veil.style, { width: `${Math.max(0, plot.width)}px`, height: `${Math.max(0, plot.height)}px` });
    const at = this.edges();
    show(this.shade, at !== null);
    if (!at) return;
    Object.assign(this.shade.style, { left: `${at.left}px`, width: `${Math.max(2, at.right - at.left)}px` });
    const { start, end } = this.span();
    const count = end - start + 1;
    const { window, bars } = this;
    const words = count < SHORTEST ? `${count} of at least ${SHORTEST} bars` : `${count} bars · ${lasting(count * bars.step)}`;
    text(this.label, words);
    attr(this.label, "title", `${moment(window.start)} to ${moment(window.end + bars.step)} UTC`);
    // the words stay on the screen however far the window reaches beyond it
    const [from, to] = [Math.max(0, at.left), Math.min(plot.width, at.right)];
    const middle = (from + to) / 2;
    const wide = this.label.offsetWidth / 2 + 4;
    this.label.style.left = `${Math.min(Math.max(middle, wide), plot.width - wide) - at.left}px`;
  }

  /** Closes since the end of the window, as returns; the first is 0, at the window's last close. */
  followed(window, most) {
    const { bars } = this;
    const at = bars.at(window.end);
    if (at < 0) return [];
    const entry = bars.all[at].close;
    const path = [0];
    for (let ahead = 1; ahead <= most; ahead += 1) {
      const bar = bars.all[at + ahead];
      if (!bar || bar.ms !== window.end + ahead * bars.step) break;
      path.push(bar.close / entry - 1);
    }
    return path;
  }

  close() {
    cancelAnimationFrame(this.again);
    this.sizes.disconnect();
    this.candles.close();
  }
}
