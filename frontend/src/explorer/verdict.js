// The answer in words, with the numbers it stands on: matches beside the base rate, at each horizon.

import { attr, el, show, text } from "../dom.js";
import { percent } from "../format.js";
import { lasting, moment, shortly } from "./times.js";

const HEADS = [["after", ""], ["n", "Matches whose outcome is known"], ["n eff", "Of which independent: outcomes that overlap in time share one vote"], ["mean", "Mean return before costs"], ["base", "Mean of what follows such windows anyway"], ["median", ""], ["base", "Median of what follows such windows anyway"], ["p", "How often as large a difference of the mean comes by chance"]];

export class Verdict {
  constructor() {
    this.window = el("b", { class: "mx-big" });
    this.when = el("span", { class: "mx-note" });
    this.size = el("span", { class: "mx-note" });
    this.word = el("b", { class: "mx-big mx-verdict-word" });
    this.many = el("span", { class: "mx-pill mx-many" });
    this.words = el("p", { class: "mx-verdict-words", role: "status", "aria-live": "polite" });
    this.body = el("tbody", {});
    this.table = el("table", { class: "mx-table" }, el("thead", {}, el("tr", {}, ...HEADS.map(([words, title]) => el("th", { scope: "col", title }, words)))), this.body);
    this.node = el(
      "section", { class: "mx-verdict", "aria-label": "Verdict" },
      el("div", { class: "mx-tile mx-asked" }, el("h2", {}, "Window"), this.window, this.when, this.size),
      el("div", { class: "mx-tile mx-answer" }, el("div", { class: "mx-verdict-head" }, this.word, this.many), this.words),
      el("div", { class: "mx-tile mx-evidence" }, this.table),
    );
    this.clear();
  }

  clear() {
    this.bare = true; // no answer stands here
    this.level("none");
    text(this.window, "none yet");
    text(this.when, "W draws one at the last bar");
    text(this.size, "");
    this.say("Draw a window", "Drag across the candles. The answer says where this shape came before, what followed, and whether that differs from what follows anyway.");
    this.rows([]);
  }

  level(level) {
    attr(this.node, "data-level", level);
  }

  say(word, words, many = "") {
    text(this.many, many);
    show(this.many, many !== "");
    text(this.word, word);
    text(this.words, words);
    attr(this.words, "title", words.length > 150 ? words : null);
  }

  /** A window was drawn; what stands here still belongs to the last one. */
  asks(symbol, window, step) {
    text(this.window, symbol);
    attr(this.window, "title", symbol);
    text(this.when, `${moment(window.start)}–${shortly(window.end + step, window.start)} UTC`);
    text(this.size, `${window.length} bars · ${lasting(window.length * step)}`);
  }

  /** An older answer stays in sight meanwhile, unless it takes so long that the reason is worth more. */
  waits(words = "") {
    this.level("waiting");
    if (!words && !this.bare) return;
    this.bare = true;
    this.say("Searching…", words);
    this.rows([]);
  }

  found(message, step) {
    this.bare = false;
    const [head, ...rest] = message.verdict.split(": ");
    const [word, side] = head.split(", ");
    const { edge, survives, asked, q_value: q } = message;
    this.level(edge ? (survives ? "edge" : "doubt") : "plain");
    const found = sentence(side ? `${word} · ${side}` : word);
    this.say(edge && !survives ? `${found}?` : found, sentence(rest.join(": ") || message.verdict), many(asked, q, edge && !survives));
    attr(this.many, "title", "Who asks often enough finds an edge in noise. q is the share of false finds that one would have to accept to call this one a find, among all windows asked on this page (Benjamini and Hochberg).");
    this.rows(message.rows.map((row) => [
      lasting(row.horizon * step), String(row.n), String(row.n_eff), percent(row.mean, 2), percent(row.base.mean, 2), percent(row.q50, 2), percent(row.base.q50, 2),
      row.p_value === null ? "–" : row.p_value.toFixed(3),
    ]), message.rows.map((row) => ({
      strong: row.p_value !== null && row.p_value <= message.significance,
      title: `higher after ${share(row.share_up)} of the matches, base rate ${share(row.base.share_up)}`,
    })));
  }

  refused(words) {
    this.bare = true;
    this.level("refused");
    this.say("No answer", words);
    this.rows([]);
  }

  rows(rows, about = []) {
    this.body.replaceChildren(...rows.map((cells, index) => {
      const row = el("tr", { title: about[index].title }, ...cells.map((cell) => el("td", {}, cell)));
      attr(row, "data-strong", about[index].strong ? true : null);
      return row;
    }));
    show(this.table.parentNode, rows.length > 0);
  }
}

function many(asked, q, falls) {
  if (asked < 2) return "";
  return `q ${q.toFixed(q < 0.1 ? 3 : 2)} among ${asked} windows asked here${falls ? ": does not survive" : ""}`;
}

function share(value) {
  return value === null || value === undefined ? "–" : `${Math.round(value * 100)} %`;
}

function sentence(words) {
  return words ? words[0].toUpperCase() + words.slice(1) : words;
}
