// How to search: how many matches, how far to look ahead, how many of one symbol, how far apart.

import { attr, el } from "../dom.js";

const FIELDS = [
  { name: "k", words: "matches", value: 20, least: 1, most: 100, title: "How many matches to look for" },
  { name: "horizon", words: "bars ahead", value: 240, least: 1, most: 10_000, title: "How many bars after each match to look at; they, too, must be over before the window begins" },
  { name: "per_symbol", words: "per symbol", value: "", least: 1, most: 100, title: "The most matches of one symbol; empty: as many as there are" },
  { name: "exclusion", words: "bars apart", value: "", least: 0, most: 2000, title: "Two matches of one symbol start at least so many bars apart; empty: half a window" },
];
const REST_MS = 250; // typing may go on

export class Options {
  constructor({ changed, follow }) {
    this.changed = changed;
    this.fields = FIELDS.map((field) => this.field(field));
    this.follow = el("input", { type: "checkbox", onchange: () => follow(this.follow.checked) });
    this.node = el(
      "form", { class: "mx-options", "aria-label": "How to search", onsubmit: (event) => event.preventDefault() },
      ...this.fields.map(({ node }) => node),
      el("label", { class: "mx-check", title: "Keep the window at the last bar and search anew with each bar that comes" }, this.follow, "follow the last bar"),
    );
  }

  field({ name, words, value, least, most, title }) {
    const input = el("input", { class: "mx-field", type: "text", inputmode: "numeric", name, value, placeholder: name === "exclusion" ? "auto" : name === "per_symbol" ? "any" : "", maxlength: 5 });
    const label = el("label", { title: `${title} (${least.toLocaleString("en-US")} to ${most.toLocaleString("en-US")})` }, input, words);
    const field = { name, node: label, input, least, most, optional: value === "", good: value };
    input.addEventListener("input", () => this.typed(field));
    input.addEventListener("keydown", (event) => this.key(event, field));
    input.addEventListener("blur", () => {
      if (input.getAttribute("aria-invalid") === "true") input.value = field.good;
      attr(input, "aria-invalid", null);
    });
    return field;
  }

  typed(field) {
    const written = field.input.value.trim();
    const number = Number(written);
    const fits = written === "" ? field.optional : Number.isInteger(number) && number >= field.least && number <= field.most;
    attr(field.input, "aria-invalid", fits ? null : true);
    if (!fits) return;
    field.good = written;
    clearTimeout(this.later);
    this.later = setTimeout(() => this.changed(), REST_MS);
  }

  key(event, field) {
    event.stopPropagation();
    const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (event.key === "Escape" || event.key === "Enter") field.input.blur();
    if (by === undefined) return;
    event.preventDefault();
    const size = field.name === "horizon" ? 15 : 1;
    const next = Math.max(field.least, Math.min(field.most, (Number(field.good) || 0) + by * size));
    field.input.value = String(next);
    this.typed(field);
  }

  /** `{ k, horizon, per_symbol, exclusion }`; null where the kernel chooses. */
  read() {
    return Object.fromEntries(this.fields.map(({ name, good }) => [name, good === "" ? null : Number(good)]));
  }
}
