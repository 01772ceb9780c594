// The window over its matches, in units of each one's own deviation, and what came after them.

import { el, show, text } from "../dom.js";
import { Plot, clipped, spaced } from "./plot.js";
import { lasting } from "./times.js";

export class Overlay {
  constructor(colours, choose) {
    this.colours = colours;
    this.choose = choose;
    this.note = el("span", { class: "mx-count" });
    this.plot = new Plot({ label: "The window over its matches", colours, draw: () => this.draw(), read: () => this.read() });
    this.plot.node.addEventListener("click", () => this.near !== null && this.choose(this.rows[this.near].rank));
    this.key = el(
      "p", { class: "mx-key" },
      el("span", { "data-is": "query" }, "window"), el("span", { "data-is": "match" }, "matches"), el("span", { "data-is": "chosen" }, "chosen"),
    );
    this.empty = el("div", { class: "mx-over" }, el("strong", {}, "Shapes"), el("p", {}, "The window and its matches, laid over each other."));
    this.node = el("section", { class: "mx-panel mx-overlay" }, el("h2", {}, "Shape", this.note), el("div", { class: "mx-stage" }, this.plot.node, this.key, this.empty));
    this.clear();
  }

  clear() {
    Object.assign(this, { x: [], shapes: [], rows: [], length: 0, chosen: null, near: null });
    text(this.note, "");
    show(this.empty, true);
    this.plot.paint();
  }

  update({ x, rows }, shapes, { length, step }) {
    const size = x.length;
    this.shapes = Array.from({ length: rows.length + 1 }, (_, row) => shapes.subarray(row * size, (row + 1) * size));
    Object.assign(this, { x, rows, length, step, near: null, chosen: null });
    show(this.empty, false);
    text(this.note, "standard deviations");
    this.plot.paint();
  }

  mark(rank) {
    this.chosen = rank;
    this.plot.paint();
  }

  /** Which match the pointer is on. */
  read() {
    const at = this.plot.under();
    this.near = null;
    if (at === null || !this.rows.length) return;
    const column = this.x.reduce((best, value, index) => (Math.abs(value - at) < Math.abs(this.x[best] - at) ? index : best), 0);
    let least = 14;
    this.rows.forEach((_, index) => {
      const away = Math.abs(this.plot.y(this.shapes[index + 1][column]) - this.plot.pointer.y);
      if (away < least) [least, this.near] = [away, index];
    });
    this.plot.node.style.cursor = this.near === null ? "" : "pointer";
  }

  draw() {
    if (!this.x.length) return;
    const { plot, x, length } = this;
    const { text: ink, blue, warn, panel, muted } = this.colours();
    // the shapes themselves set the height; what came after may leave the picture
    const inside = x.findIndex((bar) => bar >= length);
    const [bottom, top] = clipped(this.shapes.flatMap((shape) => Array.from(shape.subarray(0, inside < 0 ? undefined : inside))), 0.001);
    const [least, most] = clipped(this.shapes.flatMap((shape) => Array.from(shape)), 0.02);
    const room = (top - bottom) * 0.5;
    const [low, high] = [Math.max(Math.min(bottom, least), bottom - room) - 0.2, Math.min(Math.max(top, most), top + room) + 0.2];
    plot.span([0, x.at(-1)], [low, high]);
    plot.axes({ ticks: spaced(x.at(-1), this.step), across: (bars) => (bars ? lasting(bars * this.step) : "0"), up: (value) => value.toFixed(Math.abs(high - low) < 4 ? 1 : 0).replace("-", "−") });
    const { pen, box } = plot;
    pen.save();
    pen.beginPath();
    pen.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    pen.clip();
    const end = plot.x(length - 1);
    pen.globalAlpha = 0.5;
    pen.fillStyle = panel;
    pen.fillRect(end, box.top, box.right - end, box.bottom - box.top);
    pen.globalAlpha = 1;
    plot.rule(end, box.top, end, box.bottom, muted, [3, 3]);
    const count = this.rows.length;
    for (let row = count; row >= 1; row -= 1) plot.line(x, this.shapes[row], blue, { alpha: 0.2 + 0.5 * (1 - (row - 1) / Math.max(1, count)) });
    const strong = this.rows.findIndex((row) => row.rank === this.chosen);
    for (const row of [strong, this.near]) if (row !== null && row >= 0) plot.line(x, this.shapes[row + 1], warn, { width: 2 });
    plot.line(x, this.shapes[0], ink, { width: 2.5 });
    pen.fillStyle = muted;
    pen.textAlign = "left";
    if (box.right - end > 60) pen.fillText("after", end + 6, box.bottom - 6);
    if (this.near !== null) {
      const row = this.rows[this.near];
      const label = `${row.rank}  ${row.symbol}  r ${row.correlation.toFixed(3)}`;
      pen.textAlign = "left";
      pen.fillStyle = warn;
      pen.fillText(label, box.left + 6, box.bottom - 6);
    }
    pen.restore();
  }

  close() {
    this.plot.close();
  }
}
