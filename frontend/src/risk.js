// What guards the money: limits and their use, pauses, monitors, triggers, permits, the last rehearsal.

import { Rows, attr, el, show, text } from "./dom.js";
import { clock, countdown, day, since, words } from "./format.js";

const WARN_FROM = 0.75;
const MARKS = { tripped: "✕", warning: "!", unknown: "?", quiet: "✓" };

export class Risk {
  constructor({ release }) {
    this.count = el("span", { class: "mx-count" });
    this.missing = new Lines("mx-checks", "Real money needs");
    this.checks = new Lines("mx-checks", "Failing checks");
    this.pauses = new Pauses(release);
    this.limits = el("ul", { class: "mx-limits", "aria-label": "Limits" });
    this.monitors = new Monitors();
    this.triggers = el("p", { class: "mx-guard-foot" });
    this.rehearsal = el("p", { class: "mx-guard-foot" });
    this.node = el(
      "section", { class: "mx-panel mx-guard" },
      el("h2", {}, "Risk", this.count),
      el(
        "div", { class: "mx-scroll", tabindex: 0, "aria-label": "Limits, pauses, monitors and checks" },
        this.missing.node, this.checks.node, this.pauses.node, this.limits, this.monitors.node, this.triggers, this.rehearsal,
      ),
    );
    this.rows = new Rows(this.limits, () => new LimitLine());
    this.rehearsed = null;
  }

  update(desk) {
    const { risk } = desk;
    const failing = desk.health.checks.filter((check) => !check.ok);
    const tripped = risk.monitors.filter((each) => each.state === "tripped").length;
    const broken = risk.limits.filter((each) => each.broken || each.fraction >= 1).length;
    this.missing.update(risk.missing.map((each) => ({ name: words(each.limit), why: each.why })));
    this.checks.update(failing);
    this.pauses.update(risk.protections);
    this.rows.update(risk.limits, (each) => each.limit);
    this.monitors.update(risk.monitors);
    this.rehearsed = risk.rehearsed;
    text(this.triggers, triggersIn(risk.triggers));
    const told = [
      [risk.missing.length, "missing"], [failing.length, "failing"], [risk.protections.length, "paused"], [broken, "at its limit"], [tripped, "tripped"],
    ].filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
    text(this.count, told.join(", ") || "all clear");
    attr(this.node, "data-level", told.length ? "bad" : "good");
  }

  tick(venue) {
    this.pauses.tick(venue);
    for (const row of this.rows.rows.values()) row.tick(venue.now());
    const last = this.rehearsed;
    const age = last && `${since(venue.now() - last.at_ms)} ago`;
    text(this.rehearsal, last ? `Emergency rehearsed ${age}: ${last.passed ? "✓ passed" : "✕ failed"}, halted in ${seconds(last.halted_ms)}, flat in ${seconds(last.flattened_ms)}` : "The emergency was never rehearsed on this desk: mexclab rehearse");
    attr(this.rehearsal, "data-level", last && !last.passed ? "bad" : "none");
    attr(this.rehearsal, "title", last && `${day(last.at_ms)} ${clock(last.at_ms)} UTC by ${last.by}; evidence: ${last.evidence}`);
  }
}

/** A name and a reason each, in red. */
class Lines {
  constructor(kind, label) {
    this.node = el("ul", { class: kind, "aria-label": label });
    this.rows = new Rows(this.node, () => {
      const node = el("li", {}, el("b", {}), el("span", {}));
      return { node, update: (each) => { text(node.firstChild, `✕ ${each.name}`); text(node.lastChild, each.why); } };
    });
  }

  update(items) {
    this.rows.update(items, (each) => each.name);
    show(this.node, items.length > 0);
  }
}

class LimitLine {
  constructor() {
    this.name = el("span", {});
    this.age = el("small", { title: "When the venue was asked for it; every entry has it asked again" });
    this.value = el("span", { class: "mx-limit-value" });
    this.bar = el("i", {});
    this.node = el("li", {}, el("span", { class: "mx-limit-name" }, this.name, " ", this.age), this.value, el("div", { class: "mx-bar" }, this.bar));
  }

  update(limit) {
    const known = limit.used !== null;
    const used = known ? Math.min(1, Math.max(0, limit.fraction ?? 0)) : 1;
    this.limit = limit;
    text(this.name, limit.name);
    text(this.value, [known ? limit.used : "unknown", "/", limit.bound, limit.unit].filter(Boolean).join(" "));
    this.bar.style.width = `${used * 100}%`;
    attr(this.node, "data-level", limit.broken || used >= 1 ? "bad" : used >= WARN_FROM ? "warn" : "good");
    attr(this.node, "title", limit.why || (known ? `${Math.round(used * 100)} % used` : "Not known: entries are refused"));
  }

  /** What the venue was asked for is as old as its answer. */
  tick(now) {
    const { asked_ms: asked = null } = this.limit;
    text(this.age, asked === null ? "" : `${since(now - asked)} ago`);
  }
}

class Pauses {
  constructor(release) {
    this.list = el("ul", { class: "mx-pauses", "aria-label": "Pauses" });
    this.node = this.list;
    this.rows = new Rows(this.list, () => new Pause(release));
  }

  update(items) {
    this.rows.update(items, (each) => each.protection_id);
    show(this.node, items.length > 0);
  }

  tick(venue) {
    for (const row of this.rows.rows.values()) row.tick(venue);
  }
}

/** One pause: what earned it, when it ends, and a way out that wants a reason. */
class Pause {
  constructor(release) {
    this.name = el("b", {});
    this.left = el("span", { class: "mx-until" });
    this.words = el("span", { class: "mx-why-words" });
    this.reason = el("input", { class: "mx-why", type: "text", placeholder: "Why may it go on?", "aria-label": "Reason to release", maxlength: 200 });
    this.open = el("button", { type: "button", class: "mx-button", onclick: () => this.ask(true) }, "Release…");
    this.form = el(
      "form",
      { class: "mx-resume", onsubmit: (event) => this.submit(event, release), onkeydown: (event) => event.key === "Escape" && this.ask(false) },
      this.reason,
      el("button", { type: "submit", class: "mx-button" }, "Release"),
      el("button", { type: "button", class: "mx-button mx-quiet", onclick: () => this.ask(false) }, "Keep"),
    );
    this.node = el("li", {}, el("div", { class: "mx-pause-line" }, this.name, this.left, this.open), this.words, this.form);
    this.pause = null;
    this.ask(false);
  }

  ask(open) {
    show(this.form, open);
    show(this.open, !open);
    if (open) this.reason.focus();
  }

  submit(event, release) {
    event.preventDefault();
    const why = this.reason.value.trim();
    if (!why) {
      this.reason.focus();
      return;
    }
    this.reason.value = "";
    this.ask(false);
    release(this.pause.protection_id, why);
  }

  update(pause) {
    this.pause = pause;
    text(this.name, `‖ ${words(pause.kind)} · ${pause.symbol ?? "all entries"}`);
    text(this.words, pause.why);
    attr(this.node, "title", `${pause.value} of ${pause.bound}; since ${clock(pause.raised_ms)} UTC, ${pause.ends}`);
  }

  tick(venue) {
    const until = this.pause?.until_ms;
    text(this.left, until === null || until === undefined ? "until released" : countdown(until - venue.now()));
  }
}

/** What is not quiet by name and reason; the rest by number. */
class Monitors {
  constructor() {
    this.list = el("ul", {});
    this.sum = el("p", { class: "mx-guard-foot" });
    this.node = el("div", { class: "mx-monitors", "aria-label": "Market monitors" }, this.list, this.sum);
    this.rows = new Rows(this.list, () => {
      const [name, why] = [el("b", {}), el("span", { class: "mx-why-words" })];
      const node = el("li", {}, name, " ", why);
      const update = (each) => {
        attr(node, "data-level", each.state);
        attr(node, "title", `${each.value} of ${each.bound}`);
        text(name, `${MARKS[each.state]} ${words(each.monitor)}${each.symbol ? ` · ${each.symbol}` : ""}`);
        text(why, each.why);
      };
      return { node, update };
    });
  }

  update(monitors) {
    const loud = monitors.filter((each) => each.state === "tripped" || each.state === "warning");
    this.rows.update(loud, (each) => `${each.monitor} ${each.symbol}`);
    const count = (state) => monitors.filter((each) => each.state === state).length;
    const told = ["quiet", "unknown"].filter((state) => count(state)).map((state) => `${count(state)} ${state}`);
    text(this.sum, `Market monitors: ${told.join(", ") || (loud.length ? "none is quiet" : "nothing is watched yet")}`);
    show(this.list, loud.length > 0);
  }
}

function triggersIn(triggers) {
  const fired = triggers.filter((each) => each.fired).map((each) => `${words(each.name)} (${each.why})`);
  if (fired.length) return `Halts by itself now on ${fired.join(", ")}`;
  const off = triggers.filter((each) => !each.on).map((each) => words(each.name));
  return off.length ? `Does not halt by itself on ${off.join(", ")}` : "Halts by itself on loss, drawdown, mismatch, clock, errors, ledger lag";
}

function seconds(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
