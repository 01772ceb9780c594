// What must be readable from two metres: the mode, the clock, is it healthy, and where HALT is.

import { attr, el, show, text } from "./dom.js";
import { age, clock, day } from "./format.js";

const MODES = { demo: "DEMO", paper: "PAPER", live: "LIVE" };
const VIEWS = { desk: "Desk", portfolio: "Portfolio" };
const OLD_MS = 2000;
const STALE_MS = 5000;
const ANSWER_HOLDS_MS = 3000;

export class TopBar {
  constructor({ halt, view }) {
    this.views = Object.entries(VIEWS).map(([name, words]) => el("button", { type: "button", "data-view": name, onclick: () => view(name) }, words));
    const explorer = el("a", { href: "/explorer", target: "_blank", title: "Where was this shape before, and what followed?" }, "Explorer");
    show(explorer, document.body.dataset.voila === "voila"); // served beside the desk by mexclab dash
    this.mode = el("span", { class: "mx-mode", "data-mode": "none", title: "Mode not known: the daemon has told nothing yet" }, "–");
    this.venue = el("span", { class: "mx-venue" }, "");
    this.time = el("span", { class: "mx-time" }, "--:--:--");
    this.day = el("span", { class: "mx-zone mx-day" });
    this.speed = el("span", { class: "mx-pill", title: "Venue seconds per second of yours" });
    this.age = el("span", { class: "mx-pill mx-age", title: "Age of what is shown, measured in this browser" });
    this.health = el("span", { class: "mx-pill mx-health", role: "status", "aria-label": "Health" });
    this.halt = el("button", { class: "mx-halt", type: "button", onclick: halt }, "HALT");
    this.node = el(
      "header",
      { class: "mx-top" },
      el("div", { class: "mx-brand" }, el("strong", {}, "mexclab"), el("span", {}, "desk")),
      this.mode,
      el("nav", { class: "mx-views", "aria-label": "Pages" }, ...this.views, explorer),
      this.venue,
      el("div", { class: "mx-clock" }, this.time, el("span", { class: "mx-zone" }, "UTC"), this.day),
      el("div", { class: "mx-pills" }, this.speed, this.age, this.health),
      this.halt,
    );
    show(this.speed, false);
    this.sure = 0;
    this.wellness = ["none", "health unknown"];
  }

  /** Which page is shown. */
  shows(view) {
    for (const button of this.views) attr(button, "aria-pressed", button.dataset.view === view);
  }

  update(desk) {
    attr(this.mode, "data-mode", desk.mode);
    attr(this.mode, "title", null);
    text(this.mode, MODES[desk.mode] ?? desk.mode.toUpperCase());
    text(this.venue, desk.venue);
    text(this.speed, `${Number(desk.speed.toPrecision(3))}×`);
    show(this.speed, desk.speed !== 1);
    const failing = desk.health.checks.filter((check) => !check.ok);
    const well = desk.health.ready && failing.length === 0;
    this.wellness = [well ? "good" : "bad", well ? "healthy" : failing.length ? `${failing.map((check) => check.name).join(", ")} failing` : "not ready"];
    attr(this.health, "title", failing.map((check) => `${check.name}: ${check.why}`).join("\n") || "Every check holds");
    this.halted(desk.halt !== null);
  }

  tick(venue) {
    const old = venue.age();
    if (old !== null) {
      text(this.time, clock(venue.now()));
      text(this.day, `· ${day(venue.now())}`);
    }
    const level = old === null ? "none" : old > STALE_MS ? "bad" : old > OLD_MS ? "warn" : "good";
    attr(this.age, "data-level", level);
    const [how, words] = level === "good" || level === "warn" ? this.wellness : ["none", "health unknown"];
    attr(this.health, "data-level", how);
    text(this.health, words);
    attr(this.node, "data-age", level);
    text(this.age, old === null ? "no data yet" : `data ${age(old)} old`);
    return level;
  }

  busy() {
    text(this.halt, "HALTING…");
    attr(this.halt, "data-state", "asked");
    this.sure = Infinity;
  }

  /** The daemon's answer to HALT: believed until the next pictures show the same. */
  answered(ok, halted) {
    this.sure = ok && halted ? performance.now() + ANSWER_HOLDS_MS : 0;
    this.paintHalt(ok && halted);
  }

  halted(is) {
    if (!is && performance.now() < this.sure) return; // a picture from before the answer
    this.sure = 0;
    this.paintHalt(is);
  }

  paintHalt(is) {
    text(this.halt, is ? "HALTED" : "HALT");
    attr(this.halt, "data-state", is ? "halted" : "ready");
    attr(this.halt, "aria-label", is ? "Halted: nothing new is entered" : "Halt: enter nothing new from now on");
    this.halt.disabled = is;
  }
}
