// A small plot on a canvas: axes with round numbers, lines, bands, and where the pointer is.

import { el } from "../dom.js";

const MARGIN = { left: 8, right: 58, top: 24, bottom: 22 };

export class Plot {
  /** `draw(plot)` paints; `read(x)` is called with the place under the pointer, or null. */
  constructor({ label, colours, draw, read = () => {} }) {
    this.colours = colours;
    this.draw = draw;
    this.canvas = el("canvas", { role: "img", "aria-label": label });
    this.node = el("div", { class: "mx-canvas" }, this.canvas);
    this.pointer = null;
    this.wanted = false;
    this.sizes = new ResizeObserver(() => this.paint());
    this.sizes.observe(this.node);
    this.node.addEventListener("pointermove", (event) => {
      this.pointer = { x: event.offsetX, y: event.offsetY };
      read(this);
      this.paint();
    });
    this.node.addEventListener("pointerleave", () => {
      this.pointer = null;
      read(this);
      this.paint();
    });
  }

  paint() {
    if (this.wanted) return;
    this.wanted = true;
    requestAnimationFrame(() => {
      this.wanted = false;
      this.now();
    });
  }

  now() {
    const { clientWidth: width, clientHeight: height } = this.node;
    if (!width || !height) return;
    const dense = window.devicePixelRatio || 1;
    const [wide, high] = [Math.round(width * dense), Math.round(height * dense)];
    if (this.canvas.width !== wide || this.canvas.height !== high) Object.assign(this.canvas, { width: wide, height: high });
    this.pen = this.canvas.getContext("2d");
    this.pen.setTransform(dense, 0, 0, dense, 0, 0);
    this.pen.clearRect(0, 0, width, height);
    this.pen.font = `11px ${this.colours().font}`;
    this.box = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
    this.draw(this);
  }

  /** The numbers at the edges of the plot. */
  span(x, y) {
    this.range = { x, y };
  }

  x(value) {
    const [low, high] = this.range.x;
    return this.box.left + ((value - low) / (high - low || 1)) * (this.box.right - this.box.left);
  }

  y(value) {
    const [low, high] = this.range.y;
    return this.box.bottom - ((value - low) / (high - low || 1)) * (this.box.bottom - this.box.top);
  }

  /** The value under the pointer, on the axis across. */
  under() {
    if (!this.pointer || !this.range) return null;
    const [low, high] = this.range.x;
    return low + ((this.pointer.x - this.box.left) / (this.box.right - this.box.left)) * (high - low);
  }

  axes({ across, up, ticks, title }) {
    const { pen, box } = this;
    const { grid, muted } = this.colours();
    pen.lineWidth = 1;
    pen.textBaseline = "middle";
    for (const value of round(this.range.y, Math.max(2, (box.bottom - box.top) / 34))) {
      const y = Math.round(this.y(value)) + 0.5;
      this.rule(box.left, y, box.right, y, grid);
      pen.fillStyle = muted;
      pen.textAlign = "left";
      pen.fillText(up(value), box.right + 6, y);
    }
    pen.textBaseline = "alphabetic";
    let clear = -Infinity;
    for (const value of ticks ?? round(this.range.x, (box.right - box.left) / 70)) {
      const x = Math.round(this.x(value)) + 0.5;
      const label = across(value);
      const wide = pen.measureText(label).width;
      const at = Math.min(Math.max(x, box.left + wide / 2), box.right - wide / 2);
      if (at - wide / 2 < clear) continue;
      clear = at + wide / 2 + 10;
      this.rule(x, box.top, x, box.bottom, grid);
      pen.fillStyle = muted;
      pen.textAlign = "center";
      pen.fillText(label, at, box.bottom + 15);
    }
    pen.textAlign = "left";
    pen.fillStyle = muted;
    if (title) pen.fillText(title, box.right + 6, box.bottom + 15);
  }

  rule(x, y, toX, toY, colour, dash = []) {
    const { pen } = this;
    pen.beginPath();
    pen.setLineDash(dash);
    pen.moveTo(x, y);
    pen.lineTo(toX, toY);
    pen.strokeStyle = colour;
    pen.stroke();
    pen.setLineDash([]);
  }

  line(xs, ys, colour, { width = 1.25, dash = [], alpha = 1 } = {}) {
    const { pen } = this;
    pen.beginPath();
    let down = false;
    for (let index = 0; index < xs.length; index += 1) {
      if (!Number.isFinite(ys[index])) {
        down = false;
        continue;
      }
      if (down) pen.lineTo(this.x(xs[index]), this.y(ys[index]));
      else pen.moveTo(this.x(xs[index]), this.y(ys[index]));
      down = true;
    }
    pen.lineJoin = "round";
    pen.lineWidth = width;
    pen.globalAlpha = alpha;
    pen.setLineDash(dash);
    pen.strokeStyle = colour;
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
    pen.lineWidth = 1;
  }

  band(xs, low, high, colour, alpha) {
    const { pen } = this;
    pen.beginPath();
    xs.forEach((x, index) => pen[index ? "lineTo" : "moveTo"](this.x(x), this.y(high[index])));
    for (let index = xs.length - 1; index >= 0; index -= 1) pen.lineTo(this.x(xs[index]), this.y(low[index]));
    pen.closePath();
    pen.globalAlpha = alpha;
    pen.fillStyle = colour;
    pen.fill();
    pen.globalAlpha = 1;
  }

  close() {
    this.sizes.disconnect();
  }
}

/** Round numbers inside `[low, high]`, about `count` of them. */
export function round([low, high], count) {
  const rough = (high - low) / Math.max(1, count);
  if (!(rough > 0)) return [];
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * size).find((each) => each >= rough);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, index) => (first + index) * step || 0);
}

/** Places at whole hours, days or quarters of one, in bars of `step` milliseconds: so that an axis reads `1 h, 2 h`. */
export function spaced(last, step, most = 6) {
  const units = [1, 5, 10, 15, 30, 60, 120, 240, 480, 720, 1440, 2880, 7200, 14_400].map((minutes) => (minutes * 60_000) / step).filter((bars) => bars >= 1);
  const size = units.find((bars) => last / bars <= most) ?? Math.ceil(last / most);
  return Array.from({ length: Math.floor(last / size) + 1 }, (_, index) => index * size);
}

/** `values` without their lowest and highest `share`, so that one wild line does not flatten the others. */
export function clipped(values, share) {
  const sorted = values.filter(Number.isFinite).sort((one, other) => one - other);
  const drop = Math.floor(sorted.length * share);
  return [sorted[drop] ?? 0, sorted[sorted.length - 1 - drop] ?? 1];
}
