// A candle chart in the desk's colours, with its times in UTC. Charts by TradingView Lightweight Charts.

import { CandlestickSeries, LineStyle, createChart } from "lightweight-charts";

import { decimals } from "../format.js";
import { moment } from "./times.js";

export class Candles {
  constructor(box, colours, options = {}) {
    this.colours = colours;
    this.chart = createChart(box, {
      autoSize: true,
      layout: { attributionLogo: true, fontFamily: "inherit", fontSize: 11, background: { color: "transparent" } },
      localization: { timeFormatter: (seconds) => `${moment(seconds * 1000)} UTC` },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.12, bottom: 0.08 } },
      timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false, rightOffset: 4, minBarSpacing: 0.4 },
      crosshair: { mode: 0 },
      ...options,
    });
    this.series = this.chart.addSeries(CandlestickSeries, { borderVisible: false, priceLineStyle: LineStyle.Dotted });
    this.paint();
  }

  get scale() {
    return this.chart.timeScale();
  }

  paint() {
    const { text: ink, grid, up, down } = this.colours();
    this.chart.applyOptions({ layout: { textColor: ink }, grid: { vertLines: { color: grid }, horzLines: { color: grid } } });
    this.series.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
  }

  show(bars) {
    if (bars.length) {
      const precision = decimals(bars.at(-1).close);
      this.series.applyOptions({ priceFormat: { type: "price", precision, minMove: 10 ** -precision } });
    }
    this.series.setData(bars);
  }

  /** How much of the box the plot itself takes: the rest are the two axes. */
  plot(box) {
    return { width: box.clientWidth - this.chart.priceScale("right").width(), height: box.clientHeight - this.scale.height() };
  }

  close() {
    this.chart.remove();
  }
}
