// How numbers, times and states are written. Money arrives as text and leaves as text.

const MINUS = "−";

/** What stands where the desk has told nothing yet: an empty place would be read as "none". */
export const UNKNOWN = "Not known: the daemon has told nothing yet.";

const pad = (value) => String(value).padStart(2, "0");

export function money(value, signed = false) {
  if (value === null || value === undefined) return "–";
  const number = Number(value);
  const body = Math.abs(number).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const zero = Number(body.replaceAll(",", "")) === 0;
  return (zero ? "" : number < 0 ? MINUS : signed ? "+" : "") + body;
}

/** Five significant digits, never an exponent. */
export function price(value) {
  if (value === null || value === undefined) return "–";
  const number = Number(value);
  if (!Number.isFinite(number)) return String(value);
  if (number === 0) return "0";
  return number.toFixed(decimals(number));
}

/** The same without zeros at the end: for a number in a sentence, not in a column. */
export function plain(value) {
  const written = price(value);
  return written.includes(".") ? written.replace(/\.?0+$/, "") : written;
}

export function decimals(number) {
  const size = Math.floor(Math.log10(Math.abs(number) || 1));
  return Math.min(12, Math.max(2, 4 - size));
}

export function amount(value) {
  return Number(value).toLocaleString("en-US", { maximumSignificantDigits: 6 });
}

export function percent(fraction, digits = 1) {
  if (fraction === null || fraction === undefined) return "–";
  const body = (Math.abs(fraction) * 100).toFixed(digits);
  return (Number(body) === 0 ? "" : fraction < 0 ? MINUS : "+") + body + " %";
}

export function clock(ms) {
  return new Date(ms).toISOString().slice(11, 19);
}

export function day(ms) {
  const words = new Date(ms).toUTCString().split(" ");
  return `${words[0].replace(",", "")} ${Number(words[1])} ${words[2]} ${words[3]}`;
}

/** A duration as `1 d 04:05:06` or `04:05:06`. */
export function countdown(ms) {
  const whole = Math.max(0, Math.floor(Math.abs(ms) / 1000));
  const days = Math.floor(whole / 86400);
  const rest = `${pad(Math.floor(whole / 3600) % 24)}:${pad(Math.floor(whole / 60) % 60)}:${pad(whole % 60)}`;
  return days ? `${days} d ${rest}` : rest;
}

export function age(ms) {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 90_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`;
}

/** How long ago, in one unit: `34 s`, `12 min`, `5.2 h`, `3.0 d`. */
export function since(ms) {
  const seconds = Math.max(0, ms / 1000);
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : hours(seconds / 3600);
}

/** The coin of a pair: FERN of FERNUSDT. */
export function base(symbol, quote) {
  return symbol.endsWith(quote) ? symbol.slice(0, -quote.length) : symbol;
}

export function hours(value) {
  return value >= 48 ? `${(value / 24).toFixed(1)} d` : `${value.toFixed(1)} h`;
}

export function words(code) {
  return String(code).replaceAll("_", " ");
}

export function sign(value) {
  const number = Number(value ?? 0);
  return number > 0 ? "up" : number < 0 ? "down" : "flat";
}

/** A state is told by a glyph, a word and a colour, so that no one of them is needed. */
export const STATES = {
  PLANNED: "○",
  PREFLIGHT: "◔",
  ARMED: "◉",
  FIRING: "⚡",
  ENTERED: "▲",
  EXITING: "▽",
  CLOSED: "■",
  ABORTED: "✕",
  MISSED: "⊘",
};
export const OVER = new Set(["CLOSED", "ABORTED", "MISSED"]);
export const LEVELS = { info: "·", good: "✓", warn: "!", bad: "✕" };
