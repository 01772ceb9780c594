// The explorer: a chart to draw on, the matches, their shapes, what followed, and one of them up close.

import { Toasts } from "../banners.js";
import { attr, el, text } from "../dom.js";
import { Link } from "../link.js";
import { numbers, read } from "./bars.js";
import { Fan } from "./fan.js";
import { List } from "./list.js";
import { Match } from "./match.js";
import { Options } from "./options.js";
import { Overlay } from "./overlay.js";
import { LONGEST, SHORTEST, Stage } from "./stage.js";
import { fromUtc, lasting, moment } from "./times.js";
import { Gone, Top } from "./top.js";
import { Verdict } from "./verdict.js";

const TICK_MS = 250;
const SLOW_MS = 400; // a search that takes longer is not made while the hand still moves: the answer would wait for it
const COLOURS = { text: "ink", muted: "muted", grid: "grid", up: "up", down: "down", warn: "warn", blue: "blue", panel: "panel", raised: "raised" };

class Explorer {
  constructor(model, root) {
    this.model = model;
    this.link = new Link(model);
    this.page = document.body.dataset.voila === "voila";
    this.asked = new URLSearchParams(this.page ? location.search : "");
    this.node = el("main", { class: "mx-desk mx-explorer", "data-frames": 0, "data-page": this.page, "data-phase": "none", "aria-label": "mexclab explorer" });
    root.append(this.node);
    this.readColours();
    const colours = () => this.colours;
    Object.assign(this, { number: Date.now() % 1e9, pending: null, next: null, asking: null, window: null, matches: null, outcome: null, chosen: null, history: null, slow: false });
    this.top = new Top({
      choose: (symbol) => this.show(symbol),
      change: (interval) => this.show(this.stage.bars.symbol, { interval }),
      reread: () => this.reread(),
      home: this.page,
    });
    this.verdict = new Verdict();
    this.options = new Options({ changed: () => this.window?.enough && this.ask(true), follow: (on) => on && this.stage.putLast() });
    this.stage = new Stage({
      colours, drawn: (window, final) => this.drawn(window, final), turn: (where) => this.link.send({ kind: "page", ...where }),
    });
    this.stage.grew = () => this.grew();
    this.list = new List((rank) => this.choose(rank));
    this.overlay = new Overlay(colours, (rank) => this.choose(rank));
    this.fan = new Fan(colours);
    this.match = new Match(colours, (match) => this.open(match));
    this.gone = new Gone();
    this.toasts = new Toasts();
    this.seen = el("p", { class: "mx-seen" });
    this.list.node.firstChild.after(this.options.node);
    this.node.append(
      el("div", { class: "mx-sticky" }, this.top.node, this.gone.node),
      this.verdict.node,
      el("div", { class: "mx-look" }, this.stage.node, this.list.node),
      el("div", { class: "mx-answers" }, this.overlay.node, this.fan.node, this.match.node),
      this.seen, this.toasts.node,
    );
    this.listen();
  }

  listen() {
    this.hear = (message, buffers) => this.take(message, buffers);
    this.model.on("msg:custom", this.hear);
    this.scheme = matchMedia("(prefers-color-scheme: light)");
    this.repaint = () => {
      this.readColours();
      this.stage.candles.paint();
      this.match.paint();
      for (const part of [this.overlay, this.fan]) part.plot.paint();
    };
    this.scheme.addEventListener("change", this.repaint);
    this.keys = this.page ? document : this.node;
    this.key = (event) => this.pressed(event);
    this.keys.addEventListener("keydown", this.key);
    this.ticker = setInterval(() => this.tick(), TICK_MS);
    const wish = this.wished();
    this.link.send({ kind: "ready", symbol: this.asked.get("symbol") || this.model.get("symbol") || "", interval: this.asked.get("interval") || this.model.get("interval") || "", around_ms: wish?.end ?? null, around_length: wish?.length ?? null });
  }

  readColours() {
    const style = getComputedStyle(this.node);
    this.colours = Object.fromEntries(Object.entries(COLOURS).map(([key, name]) => [key, style.getPropertyValue(`--mx-${name}`).trim()]));
    this.colours.font = style.fontFamily;
  }

  // -- from the kernel -------------------------------------------------------------------------------

  take(message, buffers) {
    this.link.hear(message);
    if (message.at_ms) this.top.heard(message.at_ms);
    const hears = {
      hello: () => this.top.hello(message),
      bars: () => this.takeBars(message, read(buffers[0])),
      busy: () => this.works(message.words),
      history: () => this.saw(message),
      matches: () => this.takeMatches(message, numbers(buffers[0], Float32Array)),
      outcome: () => this.takeOutcome(message),
      refused: () => this.refused(message),
      match_bars: () => message.rank === this.chosen && this.match.update(message, read(buffers[0]), this.stage.bars.step),
      fault: () => this.toasts.say("bad", `The page's kernel failed: ${message.text}`),
    };
    hears[message.kind]?.();
  }

  /** What the kernel is busy with stands where the answer will. */
  works(words) {
    this.top.works(words);
    if (this.pending !== null) this.waits();
  }

  waits() {
    const { doing } = this.top;
    const { history } = this;
    const all = history && history.interval === this.stage.bars.interval ? ` ${history.bars.toLocaleString("en-US")} bars of ${history.symbols.toLocaleString("en-US")} symbols` : "";
    if (doing) this.verdict.waits(`First the kernel is ${doing}. This window is searched right after.`);
    else if (this.pending === null) this.verdict.waits(`Let go:${all} are searched then.`);
    else this.verdict.waits(this.verdict.bare && all ? `Comparing it with${all}.` : "");
  }

  takeBars(message, page) {
    if (!this.colours.text) this.repaint(); // made before its styles were there
    if (message.place === "new" && (message.symbol !== this.stage.bars.symbol || message.interval !== this.stage.bars.interval)) this.forget();
    if (["symbol", "interval"].some((name) => this.asked.get(name) && this.asked.get(name) !== message[name])) this.asked.delete("end"); // a window of other bars
    this.stage.update({ ...message, about: this.about ?? this.wished(message.interval_ms) }, page);
    this.about = null;
    if (message.place === "new" && this.window && !this.holds(this.window)) this.forget();
    this.top.shows(this.stage.bars);
    this.followed();
    this.drew();
    if (message.place === "new") {
      this.resume();
      this.remember();
    }
    this.tick();
  }

  /** The window that the page's address names, drawn once its bars are there. */
  wished(step = this.stage.bars.step) {
    const [end, length] = ["end", "length"].map((name) => this.asked.get(name));
    const ms = end ? fromUtc(end) : NaN;
    const count = Number(length || 60);
    if (!Number.isFinite(ms) || !Number.isInteger(count) || count < SHORTEST || count > LONGEST) return null;
    return { start: ms - count * step, end: ms, length: count };
  }

  /** Whether a window's first and last bar (open times) are on the chart, and as many bars as it says. */
  holds({ start, end, length }) {
    const { bars } = this.stage;
    const [first, last] = [bars.at(start), bars.at(end)];
    return first >= 0 && last >= 0 && last - first + 1 === length;
  }

  resume() {
    if (!this.asked.get("end")) return;
    const wish = this.wished();
    this.asked.delete("end");
    const { bars } = this.stage;
    if (wish && this.holds({ ...wish, end: wish.end - bars.step })) this.stage.put(bars.at(wish.start), bars.at(wish.end - bars.step), true);
    else this.toasts.say("bad", "The window in the address is not among these bars.");
  }

  /** A bar came: the window may follow it, and what did follow the window has grown. */
  grew() {
    if (!this.options.follow.checked) return;
    if (!this.stage.drag) this.stage.put(this.stage.bars.length - (this.stage.size ?? 60), this.stage.bars.length - 1, true);
  }

  takeMatches(message, shapes) {
    if (message.id !== this.pending) return;
    const { step } = this.stage.bars;
    this.matches = { ...message, ...this.asking }; // the window that is drawn now may be another one
    this.overlay.update(message, shapes, { length: this.matches.length, step });
    this.list.update(message.rows);
    this.match.clear();
    this.chosen = null;
    this.slow = message.search_ms > SLOW_MS;
    this.top.answered(message);
    attr(this.node, "data-matches", message.id);
    if (!message.final) this.done();
    this.drew();
  }

  takeOutcome(message) {
    if (message.id !== this.pending) return;
    const { step } = this.stage.bars;
    this.outcome = { ...message, window: this.asking.window };
    this.verdict.found(message, step);
    this.fan.update(message.fan, step);
    this.list.came(message.returns, lasting(message.horizon * step));
    this.top.answered(message);
    this.followed();
    attr(this.node, "data-answer", message.id);
    attr(this.node, "data-phase", "answered");
    this.done();
    if (this.matches.rows.length) this.choose(this.matches.rows[0].rank);
  }

  /** What did follow the window itself, as far as its bars are known; it grows with each new one. */
  followed() {
    if (this.outcome) this.fan.follow(this.stage.followed(this.outcome.window, this.outcome.horizon));
  }

  refused(message) {
    if (message.id === 0) {
      this.top.shows(this.stage.bars); // a symbol or an interval that was chosen is not shown
      return this.toasts.say("bad", message.text);
    }
    if (message.id !== this.pending) return undefined;
    this.verdict.refused(message.text);
    if (!this.matches || this.matches.id !== message.id) {
      this.list.clear(message.text);
      this.overlay.clear();
    }
    this.fan.clear();
    this.match.clear();
    this.top.answered(null);
    this.outcome = null;
    this.saw(this.history);
    attr(this.node, "data-phase", "refused");
    return this.done();
  }

  saw(history) {
    if (!history) return;
    this.history = history;
    if (history.search_ms !== undefined) this.slow = history.search_ms > SLOW_MS;
    if (!this.matches || !this.outcome || history.interval !== this.stage.bars.interval) {
      text(this.seen, `History: ${history.bars.toLocaleString("en-US")} bars of ${history.symbols} symbols, ${moment(history.first_ms)} to ${moment(history.end_ms)} UTC.`);
      attr(this.seen, "title", null);
      return;
    }
    const { scanned, excluded, notes, known_until_ms: until } = this.matches;
    const left = Object.entries(excluded).map(([why, count]) => `${count.toLocaleString("en-US")} ${why}`).join(", ");
    const [rates, others] = [true, false].map((is) => this.outcome.notes.filter((note) => note.startsWith("base rate") === is));
    const told = [
      `Compared with ${scanned.toLocaleString("en-US")} windows of ${history.symbols} symbols, ${moment(history.first_ms)} to ${moment(Math.min(until, history.end_ms))} UTC: nothing later, and no outcome that was not over before the window began.`,
      left && `Left out: ${left}.`, ...[...notes, ...others].map((note) => `Note: ${note}.`),
      `A round trip is taken to cost ${(this.outcome.round_trip * 100).toFixed(2)} %.`,
    ];
    text(this.seen, told.filter(Boolean).join(" "));
    attr(this.seen, "title", [...told, ...rates].filter(Boolean).join("\n"));
  }

  drew() {
    attr(this.node, "data-frames", Number(this.node.dataset.frames) + 1);
  }

  // -- to the kernel ---------------------------------------------------------------------------------

  drawn(window, final) {
    const { bars } = this.stage;
    this.window = window;
    this.verdict.asks(bars.symbol, window, bars.step);
    if (!window.enough) {
      this.drop();
      this.remember();
      this.verdict.refused(`${window.length} bars are too few: a window has 10 to 2,000. Pull one of its edges.`);
      attr(this.node, "data-phase", "refused");
      return;
    }
    this.ask(final);
  }

  /** One question at a time while the hand moves; the last one always goes out. */
  ask(final) {
    this.fan.fade();
    attr(this.node, "data-phase", "asked");
    if (!final && (this.slow || !this.history)) {
      if (this.pending !== null) this.link.send({ kind: "forget" });
      this.pending = null; // an answer that comes now is of a window that is gone
      return this.waits();
    }
    if (!final && this.pending !== null && !this.final) {
      this.next = true;
      return undefined;
    }
    const { bars } = this.stage;
    const { length } = this.window;
    const options = this.options.read();
    this.asking = { window: this.window, length, horizon: options.horizon };
    this.pending = ++this.number;
    this.next = null;
    this.final = final;
    this.link.send({
      kind: "ask", id: this.pending, symbol: bars.symbol, interval: bars.interval, start_ms: this.window.start, length, final, ...options,
    });
    this.waits();
    return final ? this.remember() : undefined;
  }

  done() {
    const again = this.next;
    Object.assign(this, { pending: null, next: null });
    if (again) this.ask(false);
  }

  show(symbol, { interval, about } = {}) {
    this.about = about ?? null;
    if (!about) this.asked.delete("end");
    this.options.follow.checked = false;
    this.link.send({ kind: "symbol", symbol, interval: interval ?? this.stage.bars.interval, around_ms: about?.end ?? null, around_length: about?.length ?? null });
    this.stage.area.focus({ preventScroll: true });
  }

  /** Everything anew from the lake; the window that is drawn stays, and stays in sight. */
  reread() {
    const { bars } = this.stage;
    const kept = this.window?.enough ? { ...this.window, end: this.window.end + bars.step } : null;
    this.about = kept;
    this.asked.delete("end");
    this.link.send({ kind: "reread", around_ms: kept?.end ?? null, around_length: kept?.length ?? null });
  }

  choose(rank) {
    const row = this.matches?.rows.find((each) => each.rank === rank);
    if (!row) return;
    this.chosen = rank;
    this.list.mark(rank);
    this.overlay.mark(rank);
    this.link.send({ kind: "match", rank, symbol: row.symbol, start_ms: row.start_ms, length: this.matches.length, horizon: this.matches.horizon });
  }

  /** Draw a match on the large chart, as the next window to ask about. */
  open(match) {
    const { step, interval } = this.stage.bars;
    const names = { symbol: match.symbol, interval, end: new Date(match.start_ms + match.length * step).toISOString(), length: match.length };
    for (const [name, value] of Object.entries(names)) this.asked.set(name, value);
    this.show(match.symbol, { interval, about: { start: match.start_ms, end: match.start_ms + match.length * step, length: match.length } });
  }

  /** No question and no answer any more: one that comes late is not heard. */
  drop() {
    Object.assign(this, { pending: null, next: null, matches: null, outcome: null, chosen: null });
    this.link.send({ kind: "forget" });
    for (const part of [this.list, this.overlay, this.fan, this.match]) part.clear();
    this.top.answered(null);
    this.saw(this.history);
  }

  forget() {
    this.window = null;
    this.drop();
    this.stage.clear();
    this.options.follow.checked = false;
    this.verdict.clear();
    attr(this.node, "data-phase", "none");
    this.remember();
  }

  /** The address names what is shown, so that a page can be kept. */
  remember() {
    if (!this.page) return; // in a notebook the address is JupyterLab's
    const { bars } = this.stage;
    const here = new URL(location.href);
    const kept = { symbol: bars.symbol, interval: bars.interval === "1m" ? "" : bars.interval };
    if (this.window?.enough) Object.assign(kept, { end: new Date(this.window.end + bars.step).toISOString().slice(0, 16) + "Z", length: this.window.length });
    for (const name of ["symbol", "interval", "end", "length"]) {
      if (kept[name]) here.searchParams.set(name, kept[name]);
      else here.searchParams.delete(name);
    }
    history.replaceState(null, "", here);
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select")) return;
    const far = event.shiftKey ? 10 : 1;
    const does = {
      Escape: () => this.forget(),
      "/": () => this.top.search.input.focus(),
      w: () => this.stage.putLast(),
      W: () => this.stage.putLast(),
      ArrowLeft: () => this.stage.nudge(-far),
      ArrowRight: () => this.stage.nudge(far),
      "[": () => this.stage.nudge(0, -1),
      "]": () => this.stage.nudge(0, 1),
      "{": () => this.stage.nudge(0, -10),
      "}": () => this.stage.nudge(0, 10),
    }[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  }

  tick() {
    const silence = this.link.silence();
    attr(this.node, "data-age", this.top.tick(silence));
    this.gone.tick(silence);
    this.stage.settle(); // a chart that was just made, or just shown, may move without a word
  }

  close() {
    clearInterval(this.ticker);
    this.scheme.removeEventListener("change", this.repaint);
    this.keys.removeEventListener("keydown", this.key);
    this.model.off("msg:custom", this.hear);
    for (const part of [this.link, this.stage, this.overlay, this.fan, this.match]) part.close();
    this.node.remove();
  }
}

export default {
  render({ model, el: root }) {
    const explorer = new Explorer(model, root);
    return () => explorer.close();
  },
};
