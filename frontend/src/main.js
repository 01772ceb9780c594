// The desk page: takes the latest picture, draws it once per animation frame, and asks for things.

import { HaltBanner, LinkBanner, Toasts } from "./banners.js";
import { Board } from "./board.js";
import { Book } from "./book.js";
import { Chart } from "./chart.js";
import { Clock } from "./clock.js";
import { attr, el, show } from "./dom.js";
import { UNKNOWN } from "./format.js";
import { Headline } from "./headline.js";
import { Link } from "./link.js";
import { Orders } from "./orders.js";
import { Portfolio } from "./portfolio.js";
import { Positions } from "./positions.js";
import { Results } from "./results.js";
import { Risk } from "./risk.js";
import { Tape } from "./tape.js";
import { TopBar } from "./topbar.js";
import { Truth } from "./truth.js";

const TICK_MS = 100;
const COMPARE_MS = 65_000; // the venue is asked for every order of ours

class Desk {
  constructor(model, root) {
    this.model = model;
    this.link = new Link(model);
    this.venue = new Clock();
    this.pending = null;
    this.desk = null;
    this.books = { orders: [], more: false, snipes: [], why: "" };
    this.down = "";
    const asked = new URLSearchParams(location.search);
    this.chosen = asked.get("symbol") || model.get("symbol") || "";
    this.view = asked.get("view") === "portfolio" ? "portfolio" : "desk";
    const choose = (symbol) => this.choose(symbol);
    const colours = () => this.colours;
    this.top = new TopBar({ halt: () => this.halt(), view: (view) => this.turn(view) });
    this.haltBanner = new HaltBanner({ resume: (why) => this.ask("resume", { why }) });
    this.linkBanner = new LinkBanner();
    this.toasts = new Toasts();
    this.headline = new Headline();
    this.board = new Board({
      choose,
      arm: (id) => this.ask("arm", { snipe_id: id }),
      disarm: (id) => this.ask("disarm", { snipe_id: id }),
    });
    this.node = el("main", { class: "mx-desk", "data-frames": 0, "aria-label": "mexclab trading desk" });
    root.append(this.node);
    attr(this.node, "data-page", document.body.dataset.voila === "voila");
    attr(this.node, "data-known", false); // until the first picture: no panel may state what it was not told
    this.readColours();
    this.chart = new Chart(colours);
    this.book = new Book(colours);
    this.orders = new Orders({ choose, truth: new Truth({ compare: () => this.ask("reconcile", {}, COMPARE_MS) }) });
    this.positions = new Positions({
      choose,
      flatten: () => this.ask("flatten", { why: "flatten pressed on the desk page" }),
      sweep: () => this.ask("sweep", { why: "sweep pressed on the desk page" }),
    });
    const risk = new Risk({ release: (id, why) => this.ask("release", { protection_id: id, why }) });
    const [results, tape] = [new Results(), new Tape()];
    this.parts = [this.top, this.headline, this.board, this.orders, this.chart, this.book, this.positions, results, risk, tape];
    this.portfolio = new Portfolio(colours);
    this.node.append(
      el("div", { class: "mx-sticky" }, this.top.node, this.haltBanner.node, this.linkBanner.node),
      this.headline.node,
      (this.grid = el(
        "div", { class: "mx-grid" },
        el("div", { class: "mx-left-side" }, this.board.node, this.orders.node),
        el("div", { class: "mx-middle" }, el("div", { class: "mx-market" }, this.chart.node, this.book.node), el("div", { class: "mx-money" }, this.positions.node, results.node)),
        el("div", { class: "mx-side" }, risk.node, tape.node),
      )),
      this.portfolio.node,
      this.toasts.node,
    );
    for (const panel of this.grid.querySelectorAll(".mx-panel")) panel.append(el("p", { class: "mx-unknown" }, UNKNOWN));
    this.listen();
  }

  listen() {
    this.hear = (message) => this.take(message);
    this.model.on("msg:custom", this.hear);
    this.scheme = matchMedia("(prefers-color-scheme: light)");
    this.repaint = () => {
      this.readColours();
      this.chart.paint();
      this.portfolio.paint();
      this.book.draw();
    };
    this.scheme.addEventListener("change", this.repaint);
    this.ticker = setInterval(() => this.tick(), TICK_MS);
    this.tick();
    this.link.send({ kind: "ready", symbol: this.chosen });
    this.turn(this.view);
  }

  /** Show the desk or the portfolio; the address follows, so that a page can be kept. */
  turn(view) {
    this.view = view;
    this.top.shows(view);
    show(this.grid, view === "desk");
    show(this.portfolio.node, view === "portfolio");
    attr(this.node, "data-view", view);
    this.link.send({ kind: "view", view });
    if (this.node.dataset.page !== "true") return; // in a notebook the address is JupyterLab's
    const here = new URL(location.href);
    if (view === "desk") here.searchParams.delete("view");
    else here.searchParams.set("view", view);
    history.replaceState(null, "", here);
  }

  readColours() {
    const style = getComputedStyle(this.node);
    const names = { text: "ink", muted: "muted", grid: "grid", up: "up", down: "down", upWash: "up-wash", downWash: "down-wash", warn: "warn", panel: "panel" };
    this.colours = Object.fromEntries(Object.entries(names).map(([key, name]) => [key, style.getPropertyValue(`--mx-${name}`).trim()]));
    this.colours.font = style.fontFamily;
  }

  take(message) {
    this.link.hear(message);
    if (message.kind === "frame") {
      this.down = "";
      this.venue.take(message);
      if (this.pending === null && !document.hidden) requestAnimationFrame(() => this.draw());
      this.pending = message;
      if (document.hidden) this.acknowledge(); // nothing is drawn there, and nothing must wait for it
    } else if (message.kind === "books") {
      this.books = message.why ? { ...this.books, why: message.why } : message;
    } else if (message.kind === "portfolio") {
      this.portfolio.update(message);
    } else if (message.kind === "link") {
      this.down = message.why;
    } else if (message.kind === "fault") {
      this.toasts.say("bad", `The page's kernel failed: ${message.text}`);
    }
  }

  draw() {
    const message = this.acknowledge();
    if (message === null) return;
    this.desk = message.desk;
    for (const part of this.parts) part.update(this.desk, this.chosen || this.desk.chart.symbol, this.books);
    this.haltBanner.update(this.desk.halt);
    attr(this.node, "data-known", true);
    attr(this.node, "data-halted", this.desk.halt !== null);
    attr(this.node, "data-mode", this.desk.mode);
    attr(this.node, "data-frame", message.frame);
    attr(this.node, "data-frames", Number(this.node.dataset.frames) + 1);
    this.tick();
  }

  acknowledge() {
    const message = this.pending;
    this.pending = null;
    if (message !== null) this.link.send({ kind: "ack", frame: message.frame });
    return message;
  }

  tick() {
    if (!this.colours.text) this.repaint(); // made before its styles were there
    attr(this.node, "data-age", this.top.tick(this.venue));
    this.linkBanner.update({ silence: this.link.silence(), why: this.down });
    for (const part of [...this.parts, this.portfolio]) if (part !== this.top) part.tick?.(this.venue);
  }

  choose(symbol) {
    this.chosen = symbol;
    this.link.send({ kind: "symbol", symbol });
    if (this.desk) this.board.update(this.desk, symbol);
  }

  async halt() {
    this.top.busy();
    const answer = await this.link.ask("halt", { why: "HALT pressed on the desk page" });
    this.top.answered(answer.ok, answer.halted);
    if (!answer.ok) this.toasts.say("bad", answer.message);
  }

  async ask(name, about, patience) {
    const answer = await this.link.ask(name, about, patience);
    this.toasts.say(answer.ok ? "good" : "bad", answer.ok ? answer.message : `${name} refused: ${answer.message}`);
  }

  close() {
    clearInterval(this.ticker);
    this.scheme.removeEventListener("change", this.repaint);
    this.model.off("msg:custom", this.hear);
    this.link.close();
    this.chart.close();
    this.portfolio.close();
    this.book.close();
    this.node.remove();
  }
}

export default {
  render({ model, el: root }) {
    const desk = new Desk(model, root);
    return () => desk.close();
  },
};
