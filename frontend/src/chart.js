// Candles, fills, stop and targets of one symbol. Charts by TradingView Lightweight Charts.

import { CandlestickSeries, LineStyle, createChart, createSeriesMarkers } from "lightweight-charts";

import { el, show, text } from "./dom.js";
import { countdown, decimals, percent, price } from "./format.js";

// What the library's licence asks to be shown, beside the mark that it draws itself.
const NOTICE = "TradingView Lightweight Charts™. Copyright (c) 2025 TradingView, Inc. https://www.tradingview.com/";

export class Chart {
  constructor(colours) {
    this.colours = colours;
    this.title = el("strong", {}, "Chart");
    this.last = el("span", { class: "mx-last" });
    this.note = el("span", { class: "mx-count" });
    this.box = el("div", { class: "mx-canvas", role: "img", "aria-label": "Candles" });
    this.empty = el("div", { class: "mx-over" }, el("strong", {}), el("p", {}));
    const credit = el("a", { class: "mx-credit", href: "https://www.tradingview.com/", target: "_blank", rel: "noopener noreferrer", title: NOTICE }, "TradingView");
    this.node = el("section", { class: "mx-panel mx-chart" }, el("h2", {}, this.title, this.last, this.note, credit), el("div", { class: "mx-stage" }, this.box, this.empty));
    this.lines = new Map();
    this.shown = { symbol: null, first: null, last: 0, interval: null, marks: "" };
    this.build();
  }

  build() {
    this.chart = createChart(this.box, {
      autoSize: true,
      layout: { attributionLogo: true, fontFamily: "inherit", fontSize: 11, background: { color: "transparent" } },
      rightPriceScale: { borderVisible: false },
      timeScale: { borderVisible: false, timeVisible: true, rightOffset: 4, minBarSpacing: 1 },
      crosshair: { mode: 0 },
      handleScroll: { vertTouchDrag: false },
    });
    this.series = this.chart.addSeries(CandlestickSeries, { borderVisible: false, priceLineStyle: LineStyle.Dotted });
    this.markers = createSeriesMarkers(this.series, []);
    this.paint();
  }

  paint() {
    const { text: ink, grid, up, down } = this.colours();
    this.chart.applyOptions({ layout: { textColor: ink }, grid: { vertLines: { color: grid }, horzLines: { color: grid } } });
    this.series.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
  }

  update(desk) {
    const { chart } = desk;
    // Before the first symbol trades there is nothing to draw: say what will be drawn, and when.
    const coming = chart.symbol ?? desk.listings.find((each) => each.open_ms > desk.at_ms)?.symbol;
    this.listing = desk.listings.find((each) => each.symbol === coming) ?? null;
    text(this.title, coming ?? "No chart");
    this.updateCandles(chart);
    this.updateMarks(chart.marks);
    this.updateLines(desk.positions.find((each) => each.symbol === chart.symbol), this.listing);
    const bars = chart.candles;
    if (bars.length) {
      const close = bars.at(-1)[4];
      const since = close / bars[0][1] - 1;
      text(this.last, `${price(close)}  ${percent(since)}`);
      this.last.dataset.sign = since >= 0 ? "up" : "down";
      text(this.note, `${chart.interval_s < 60 ? `${chart.interval_s} s` : `${chart.interval_s / 60} min`}, UTC`);
    } else {
      text(this.last, "");
      text(this.note, "");
    }
    show(this.empty, bars.length === 0);
    this.symbol = coming;
  }

  updateCandles(chart) {
    const bars = chart.candles;
    const { shown } = this;
    const same =
      shown.symbol === chart.symbol && shown.interval === chart.interval_s && shown.first === bars[0]?.[0] && (bars.at(-1)?.[0] ?? 0) >= shown.last;
    const fresh = same ? bars.filter((bar) => bar[0] >= shown.last) : bars;
    if (same) for (const bar of fresh) this.series.update(candle(bar));
    else {
      if (bars.length) {
        const precision = decimals(bars.at(-1)[4]);
        this.series.applyOptions({ priceFormat: { type: "price", precision, minMove: 10 ** -precision } });
      }
      this.series.setData(bars.map(candle));
      this.chart.timeScale().applyOptions({ secondsVisible: chart.interval_s < 60 });
      if (shown.symbol !== chart.symbol) this.chart.timeScale().resetTimeScale();
    }
    Object.assign(shown, { symbol: chart.symbol, interval: chart.interval_s, first: bars[0]?.[0], last: bars.at(-1)?.[0] ?? 0 });
  }

  updateMarks(marks) {
    const key = `${this.shown.symbol} ${JSON.stringify(marks)} ${this.shown.first}`;
    if (key === this.shown.marks) return;
    this.shown.marks = key;
    const { up, down } = this.colours();
    this.markers.setMarkers(perCandle(marks, this.shown.interval).map(({ time, side, prices }) => {
      const buy = side === "BUY";
      const [low, high] = [Math.min(...prices), Math.max(...prices)].map(price);
      const words = `${buy ? "bought" : "sold"} ${low === high ? low : `${low}–${high}`}`;
      return { time, position: buy ? "belowBar" : "aboveBar", shape: buy ? "arrowUp" : "arrowDown", color: buy ? up : down, text: words };
    }));
  }

  updateLines(position, listing) {
    const { up, down, text: ink, warn } = this.colours();
    const wanted = new Map();
    if (position) {
      wanted.set("cost", [position.average_cost, ink, "cost"]);
      if (position.stop_price !== null) wanted.set("stop", [position.stop_price, down, "stop"]);
      position.targets.filter((each) => !each.filled).forEach((each, index) => wanted.set(`target ${index}`, [each.price, up, "target"]));
    } else if (listing?.cap && listing.state && this.shown.last) {
      wanted.set("cap", [listing.cap, warn, "cap"]);
    }
    for (const [key, line] of this.lines) {
      if (!wanted.has(key)) {
        this.series.removePriceLine(line);
        this.lines.delete(key);
      }
    }
    for (const [key, [at, color, title]] of wanted) {
      const options = { price: Number(at), color, title, lineWidth: 1, lineStyle: LineStyle.Dashed, axisLabelVisible: true };
      if (this.lines.has(key)) this.lines.get(key).applyOptions(options);
      else this.lines.set(key, this.series.createPriceLine(options));
    }
  }

  tick(venue) {
    if (this.empty.hidden) return;
    const left = this.listing ? this.listing.open_ms - venue.now() : 0;
    const [head, words] = this.empty.children;
    text(head, !this.symbol ? "Nothing to show yet" : left > 0 ? `Opens in ${countdown(left)}` : "No trade was seen yet");
    text(words, this.symbol ? "Its candles and its book appear with the first trade." : "The candles and the book of the next listing appear here.");
  }

  close() {
    this.chart.remove();
  }
}

/** One mark for all fills of a side within a candle: they would be drawn on top of each other. */
function perCandle(marks, interval) {
  const found = new Map();
  for (const { at_s: at, side, price: paid } of marks) {
    const time = at - (at % interval);
    const key = `${time} ${side}`;
    if (!found.has(key)) found.set(key, { time, side, prices: [] });
    found.get(key).prices.push(paid);
  }
  return [...found.values()].sort((one, other) => one.time - other.time);
}

function candle([time, open, high, low, close]) {
  return { time, open, high, low, close };
}
