// The order book as a ladder on a canvas: asks above, bids below, bars for what stands there.

import { el, text } from "./dom.js";
import { decimals } from "./format.js";

const ROW = 17;

export class Book {
  constructor(colours) {
    this.colours = colours;
    this.canvas = el("canvas", { role: "img", "aria-label": "Order book" });
    this.box = el("div", { class: "mx-canvas" }, this.canvas);
    this.spread = el("span", { class: "mx-count" });
    this.node = el("section", { class: "mx-panel mx-book" }, el("h2", {}, "Book", this.spread), this.box);
    this.book = { bids: [], asks: [] };
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.box);
  }

  update(desk) {
    this.book = desk.chart.book;
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.box;
    if (!width || !height) return;
    const dense = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * dense) || this.canvas.height !== Math.round(height * dense)) {
      this.canvas.width = Math.round(width * dense);
      this.canvas.height = Math.round(height * dense);
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.clearRect(0, 0, width, height);
    const colours = this.colours();
    pen.font = `11px ${colours.font}`;
    pen.textBaseline = "middle";
    const { bids, asks } = this.book;
    if (!bids.length && !asks.length) {
      text(this.spread, "");
      pen.fillStyle = colours.muted;
      pen.textAlign = "center";
      pen.fillText("no book yet", width / 2, height / 2);
      return;
    }
    const rows = Math.max(1, Math.floor((height / 2 - 10) / ROW));
    const shown = { asks: asks.slice(0, rows), bids: bids.slice(0, rows) };
    const most = Math.max(...[...shown.asks, ...shown.bids].map(([, size]) => size));
    const middle = height / 2;
    const digits = decimals((bids[0] ?? asks[0])[0]);
    const line = (level, y, colour, wash) => {
      const [at, size] = level;
      pen.fillStyle = wash;
      pen.fillRect(width - (width * size) / most, y - ROW / 2 + 1, (width * size) / most, ROW - 2);
      pen.fillStyle = colour;
      pen.textAlign = "left";
      pen.fillText(at.toFixed(digits), 8, y);
      pen.fillStyle = colours.text;
      pen.textAlign = "right";
      pen.fillText(short(size), width - 8, y);
    };
    shown.asks.forEach((level, index) => line(level, middle - 9 - ROW * (index + 0.5), colours.down, colours.downWash));
    shown.bids.forEach((level, index) => line(level, middle + 9 + ROW * (index + 0.5), colours.up, colours.upWash));
    this.drawMiddle(pen, width, middle, digits, colours);
  }

  drawMiddle(pen, width, middle, digits, colours) {
    const [bid, ask] = [this.book.bids[0]?.[0], this.book.asks[0]?.[0]];
    if (bid === undefined || ask === undefined) {
      text(this.spread, "one-sided");
      return;
    }
    text(this.spread, `spread ${((ask / bid - 1) * 100).toFixed(2)} %`);
    pen.fillStyle = colours.muted;
    pen.fillRect(8, middle, width - 16, 1);
    pen.textAlign = "center";
    const label = ((bid + ask) / 2).toFixed(digits);
    const wide = pen.measureText(label).width + 12;
    pen.fillStyle = colours.panel;
    pen.fillRect((width - wide) / 2, middle - 7, wide, 14);
    pen.fillStyle = colours.text;
    pen.fillText(label, width / 2, middle + 0.5);
  }

  close() {
    this.sizes.disconnect();
  }
}

function short(size) {
  if (size >= 1e6) return `${(size / 1e6).toPrecision(3)} M`;
  return size >= 1e4 ? `${(size / 1e3).toPrecision(3)} k` : size.toPrecision(4).replace(/\.0+$/, "");
}
