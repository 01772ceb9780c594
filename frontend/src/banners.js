// Across the page: halted, not connected, this page lost its kernel, and the daemon's answers.

import { attr, el, prose, show, text } from "./dom.js";
import { clock } from "./format.js";

const TOAST_MS = 9000;

export class HaltBanner {
  constructor({ resume }) {
    this.words = el("span", { class: "mx-banner-words" });
    this.why = el("input", {
      class: "mx-why", type: "text", placeholder: "Why is it safe to go on?", "aria-label": "Reason to resume", maxlength: 200,
    });
    this.open = el("button", { type: "button", class: "mx-button", onclick: () => this.ask(true) }, "Resume…");
    this.form = el(
      "form",
      { class: "mx-resume", onsubmit: (event) => this.submit(event, resume), onkeydown: (event) => event.key === "Escape" && this.ask(false) },
      this.why,
      el("button", { type: "submit", class: "mx-button" }, "Resume"),
      el("button", { type: "button", class: "mx-button mx-quiet", onclick: () => this.ask(false) }, "Stay halted"),
    );
    this.node = el("div", { class: "mx-banner", "data-level": "halt", role: "alert" }, el("strong", {}, "■ HALTED"), this.words, this.open, this.form);
    this.ask(false);
    show(this.node, false);
  }

  ask(open) {
    show(this.form, open);
    show(this.open, !open);
    if (open) this.why.focus();
  }

  submit(event, resume) {
    event.preventDefault();
    const why = this.why.value.trim();
    if (!why) {
      this.why.focus();
      return;
    }
    this.why.value = "";
    this.ask(false);
    resume(why);
  }

  update(halt) {
    show(this.node, halt !== null);
    if (halt === null) this.ask(false);
    else text(this.words, `by ${halt.by} since ${clock(halt.at_ms)} UTC: ${halt.why || "no reason given"}. Nothing new is entered; exits go on.`);
  }
}

/** The state of the line to the daemon, and of the line to the kernel. */
export class LinkBanner {
  constructor() {
    this.title = el("strong", {});
    this.words = el("span", { class: "mx-banner-words" });
    this.reload = el("button", { type: "button", class: "mx-button", onclick: () => location.reload() }, "Reload");
    this.node = el("div", { class: "mx-banner", "data-level": "warn", role: "alert" }, this.title, this.words, this.reload);
    show(this.node, false);
  }

  update({ silence, why }) {
    const dead = silence > 8000;
    show(this.node, dead || Boolean(why));
    show(this.reload, dead);
    if (dead) {
      text(this.title, "This page is on its own");
      prose(this.words, "Its kernel does not answer any more, so nothing here is live and no button works. The daemon trades on: reload, or use `mexclab halt` in a terminal.");
    } else if (why) {
      text(this.title, "Not connected");
      prose(this.words, `${why} Trying again by itself.`);
    }
    attr(this.node, "data-level", dead ? "bad" : "warn");
  }
}

/** Short-lived words about what was asked; read out by screen readers. */
export class Toasts {
  constructor() {
    this.node = el("div", { class: "mx-toasts", role: "status", "aria-live": "polite" });
  }

  say(level, words) {
    const close = el("button", { type: "button", class: "mx-close", "aria-label": "Close this message", onclick: () => toast.remove() }, "×");
    const said = el("span", {});
    prose(said, words);
    const toast = el("div", { class: "mx-toast", "data-level": level }, said, close);
    this.node.prepend(toast);
    while (this.node.children.length > 4) this.node.lastChild.remove();
    setTimeout(() => toast.remove(), TOAST_MS);
  }
}
