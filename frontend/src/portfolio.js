// The portfolio: the equity over time, what is held, who earned it, what could become of it, whether it is there.

import { AreaSeries, LineSeries, LineStyle, createChart } from "lightweight-charts";

import { attr, el, prose, show, text } from "./dom.js";
import { UNKNOWN, amount, base, clock, day, money, percent, plain, sign, since, words } from "./format.js";

export class Portfolio {
  constructor(colours) {
    this.colours = colours;
    this.note = el("span", { class: "mx-count" });
    this.sums = el("dl", { class: "mx-sums" });
    this.gaps = el("p", { class: "mx-gaps", role: "status" });
    this.why = el("p", { class: "mx-gaps", role: "alert" });
    this.box = el("div", { class: "mx-canvas", role: "img", "aria-label": "Equity over time, UTC" });
    this.empty = el("div", { class: "mx-over" }, el("p", {}, UNKNOWN));
    this.fall = el("span", { class: "mx-count" });
    this.held = new Table(["Symbol", "Quantity", "Average cost", "Bid", "Value", "Profit", "", "Stop", "Strategy"], "Nothing is held.");
    this.symbols = new Table(["Symbol", "Snipes", "Won", "Bought", "Realised", "Open", "Profit"], "Nothing was bought yet.");
    this.strategies = new Table(["Strategy", "Snipes", "Won", "Bought", "Realised", "Open", "Profit"], "Nothing was bought yet.");
    this.stress = new Table(["If", "Loss", "Of equity", "With its stop", "To get out"], "Nothing is held, so nothing can be lost.");
    this.stress.node.classList.add("mx-stress");
    this.spread = el("p", { class: "mx-say" }, UNKNOWN);
    this.balances = new Table(["Asset", "Ledger", "Venue", "Difference"], "The venue was not asked yet.");
    this.agrees = el("span", { class: "mx-count" });
    this.node = el(
      "div", { class: "mx-folio", "aria-label": "Portfolio" },
      el(
        "div", { class: "mx-folio-main" },
        panel("Portfolio", this.note, "mx-sum-panel", this.why, this.sums, this.gaps),
        panel("Equity over time, UTC", this.fall, "mx-curve", el("div", { class: "mx-stage" }, this.box, this.empty)),
        panel("Holdings, at the best bid", null, "", this.held.node),
        panel("By symbol, after fees", null, "", this.symbols.node),
        panel("By strategy, after fees", null, "", this.strategies.node),
      ),
      el(
        "div", { class: "mx-folio-side" },
        panel("What a bad hour would do", null, "", this.stress.node),
        panel("How many bets it is", null, "", this.spread),
        panel("Balances against the venue", this.agrees, "", this.balances.node),
      ),
    );
    for (const words of [this.why, this.gaps]) show(words, false);
    Object.assign(this, { at: null, failed: false, page: null, compared: null });
    this.build();
  }

  build() {
    this.chart = createChart(this.box, {
      autoSize: true,
      layout: { attributionLogo: true, fontFamily: "inherit", fontSize: 11, background: { color: "transparent" } },
      rightPriceScale: { borderVisible: false },
      timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false },
      crosshair: { mode: 0 },
    });
    this.equity = this.chart.addSeries(AreaSeries, { lineWidth: 2, priceLineVisible: false });
    this.banked = this.chart.addSeries(LineSeries, { lineWidth: 1, lineStyle: LineStyle.Dashed, priceLineVisible: false, lastValueVisible: false });
    this.paint();
  }

  paint() {
    const { text: ink, grid, up, upWash, muted } = this.colours();
    if (!ink) return;
    this.chart.applyOptions({ layout: { textColor: ink }, grid: { vertLines: { color: grid }, horzLines: { color: grid } } });
    this.equity.applyOptions({ lineColor: up, topColor: upWash, bottomColor: "transparent" });
    this.banked.applyOptions({ color: muted });
  }

  /** A part that could not be asked for comes without its page; what was shown stays. */
  update({ page, shares, curve, stress, balances, why }) {
    this.failed = Boolean(why);
    prose(this.why, why && (this.at !== null || page) ? `Not all of this is new: ${why}` : why);
    show(this.why, this.failed);
    this.paint();
    if (page) this.updatePage(page);
    if (curve) this.updateCurve(curve);
    if (shares) {
      this.symbols.update(shares.by_symbol.map((each) => share(each)));
      this.strategies.update(shares.by_strategy.map((each) => share(each)));
    }
    if (stress) this.updateStress(stress);
    if (balances) this.updateBalances(balances);
  }

  updatePage(page) {
    this.at = page.at_ms;
    this.seq = page.seq;
    this.page = page;
    const fees = page.fees.map(({ asset, amount: paid }) => `${Number(Number(paid).toPrecision(4))} ${asset}`).join(", ") || "none";
    const facts = [
      ["Equity", money(page.equity), null], ["Profit after fees", money(page.profit, true), page.profit], ["Today", money(page.today, true), page.today],
      ["Realised", money(page.realised, true), page.realised], ["Open", money(page.unrealised, true), page.unrealised],
      ["At market", money(page.exposure), null], ["Cash", money(page.cash), null], ["Fees paid", fees, null],
      ["Won", page.results.closed ? `${page.results.won} of ${page.results.closed}` : "–", null],
    ];
    this.sums.replaceChildren(...facts.map(([name, value, signed]) => {
      const told = el("dd", {}, value);
      if (signed !== null) attr(told, "data-sign", sign(signed));
      return el("div", {}, el("dt", {}, name), told);
    }));
    text(this.gaps, page.missing.length ? `Not in these sums: ${page.missing.join("; ")}` : "");
    show(this.gaps, page.missing.length > 0);
    this.quote = page.quote;
    this.held.update(page.positions.map((each) => ({
      cells: [
        each.symbol, amount(each.quantity), plain(each.average_cost), plain(each.price), money(each.value),
        { words: money(each.unrealised, true), signed: each.unrealised }, { words: percent(each.unrealised_fraction), signed: each.unrealised },
        plain(each.stop), words(each.strategy || "unknown"),
      ],
      title: each.why,
    })));
    const { diversification: spread } = page;
    const few = (number) => (number === null ? "–" : number.toFixed(2));
    text(this.spread, spread.hhi === null
      ? spread.why || "Nothing is held."
      : `Herfindahl index ${few(spread.hhi)}, as concentrated as ${few(spread.effective_holdings)} equal holdings; ${spread.effective_bets === null ? "independent bets not known" : `${few(spread.effective_bets)} independent bets`}. Moving together: ${spread.clusters.filter((each) => each.length > 1).map((each) => each.join(" + ")).join("; ") || "none"}.${spread.why ? ` ${spread.why}` : ""}`);
  }

  updateCurve(curve) {
    const seen = new Map(curve.points.map((each) => [Math.floor(each.at_ms / 1000), each])); // one point a second
    const points = [...seen].sort(([one], [other]) => one - other);
    this.equity.setData(points.map(([time, each]) => ({ time, value: Number(each.equity) })));
    this.banked.setData(points.map(([time, each]) => ({ time, value: Number(points[0][1].equity) - Number(points[0][1].realised) + Number(each.realised) })));
    if (points.length !== this.drawn) this.chart.timeScale().fitContent();
    this.drawn = points.length;
    this.empty.replaceChildren(el("strong", {}, "No curve yet"), el("p", {}, "It begins with the first mark or close of a position."));
    show(this.empty, points.length < 2);
    text(this.fall, points.length < 2 ? "" : `${curve.quote}; dashed: realised; largest fall ${(Number(curve.max_drawdown) * 100).toFixed(2)} %`);
  }

  updateStress(stress) {
    const most = Math.max(...stress.totals.map((each) => Math.abs(each.fraction ?? 0)), 1e-9);
    this.stress.update(stress.totals.filter((each) => Number(each.loss) !== 0 || each.unpriced.length).map((each) => ({
      cells: [
        { words: each.words || words(each.scenario), wide: true },
        { words: money(-Number(each.loss), true), signed: -Number(each.loss), bar: Math.abs(each.fraction ?? 0) / most },
        percent(each.fraction === null ? null : -Math.abs(each.fraction)), money(-Number(each.loss_with_stop), true), money(each.exit_cost),
      ],
      title: each.unpriced.length ? `Without ${each.unpriced.join(", ")}: no price` : `Saved by stops: ${money(each.saved)} ${stress.quote}`,
    })));
  }

  updateBalances(balances) {
    this.compared = balances;
    this.balances.update(balances.rows.map((each) => ({
      cells: [each.asset, each.ledger === null ? "–" : amount(each.ledger), each.venue === null ? "–" : amount(each.venue), each.agrees === null ? "–" : each.agrees ? "none" : amount(each.difference)],
      title: each.words,
      level: each.agrees === false ? "bad" : "none",
    })));
  }

  tick(venue) {
    this.tickBalances(venue);
    if (this.at === null) text(this.note, this.failed ? "not known" : "reading the ledger…");
    else text(this.note, `${this.quote}, as of entry ${this.seq}, ${clock(this.at)} UTC, ${since(venue.now() - this.at)} ago`);
    attr(this.note, "title", this.at === null ? null : day(this.at));
  }

  /** Agreement is as old as the venue's answer; amber once the ledger holds something else than it was compared with. */
  tickBalances(venue) {
    if (this.compared === null || this.compared.agrees === null) return;
    const { agrees, at_ms: at } = this.compared;
    const old = this.page !== null && outgrown(this.compared, this.page);
    attr(this.agrees, "data-level", old ? "warn" : agrees ? "good" : "bad");
    attr(this.agrees, "title", old ? "A fill came since: the venue is asked again" : `The venue was asked ${day(at)} ${clock(at)} UTC`);
    text(this.agrees, `${old ? "! before the last fill" : agrees ? "✓ agree" : "✕ differ"}, ${clock(at)} UTC, ${since(venue.now() - at)} ago`);
  }

  close() {
    this.chart.remove();
  }
}

function panel(title, note, kind, ...parts) {
  return el("section", { class: `mx-panel ${kind}` }, el("h2", {}, title, note), ...parts);
}

/** Whether the ledger holds something else by now than what the venue's balances were compared with. */
function outgrown(balances, page) {
  if (page.seq <= balances.seq) return false;
  const compared = new Map(balances.rows.filter((each) => each.ledger !== null).map((each) => [each.asset, Number(each.ledger)]));
  const held = new Map([[page.quote, Number(page.cash)]]);
  for (const { symbol, quantity } of page.positions) {
    const coin = base(symbol, page.quote);
    held.set(coin, (held.get(coin) ?? 0) + Number(quantity));
  }
  return [...new Set([...compared.keys(), ...held.keys()])].some((asset) => (compared.get(asset) ?? 0) !== (held.get(asset) ?? 0));
}

/** A row of one symbol or one strategy. */
function share(each) {
  return {
    cells: [
      words(each.name), String(each.snipes), each.closed ? `${each.won} of ${each.closed}` : "–", money(each.bought),
      { words: money(each.realised, true), signed: each.realised }, { words: money(each.unrealised, true), signed: each.unrealised },
      { words: money(each.profit, true), signed: each.profit },
    ],
    title: each.missing.join("; "),
  };
}

/** Rows of text; a cell may say that its number has a sign, or how long its bar is. */
class Table {
  constructor(heads, nothing) {
    this.body = el("tbody", {});
    this.none = nothing;
    this.nothing = el("p", { class: "mx-say" }, UNKNOWN);
    this.table = el("table", { class: "mx-table" }, el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))), this.body);
    this.node = el("div", { class: "mx-wide" }, this.table, this.nothing);
    this.told = "";
    show(this.table, false);
  }

  update(rows) {
    const told = JSON.stringify(rows);
    if (told === this.told) return;
    this.told = told;
    this.body.replaceChildren(...rows.map(({ cells, title, level }) => {
      const row = el("tr", { title: title ?? "" }, ...cells.map((cell) => drawn(cell)));
      attr(row, "data-level", level);
      return row;
    }));
    show(this.table, rows.length > 0);
    text(this.nothing, this.none);
    show(this.nothing, rows.length === 0);
  }
}

function drawn(cell) {
  if (typeof cell === "string") return el("td", {}, cell);
  const node = el("td", {}, cell.words);
  if (cell.wide) node.className = "mx-words-cell";
  if (cell.signed !== undefined) attr(node, "data-sign", sign(cell.signed));
  if (cell.bar !== undefined) {
    const bar = el("i", {});
    bar.style.width = `${Math.min(1, cell.bar) * 100}%`;
    node.append(el("span", { class: "mx-fall" }, bar));
  }
  return node;
}
