// Times as they are written here: UTC, always.

const pad = (value) => String(value).padStart(2, "0");

/** `2026-06-09 12:30` */
export function moment(ms) {
  const at = new Date(ms);
  return `${day(ms)} ${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}`;
}

/** Milliseconds of a time as somebody wrote it; UTC where no zone is named, wherever the browser stands. */
export function fromUtc(written) {
  const at = written.trim().replace(" ", "T");
  return Date.parse(/T[^Z+-]*$/i.test(at) ? `${at}Z` : at);
}

/** `2026-06-09` */
export function day(ms) {
  return new Date(ms).toISOString().slice(0, 10);
}

/** `12:30`, or with its day where that is another one than `beside`. */
export function shortly(ms, beside) {
  const whole = moment(ms);
  return day(ms) === day(beside) ? whole.slice(11) : whole.slice(5);
}

/** A duration in one or two units: `45 min`, `1 h`, `4 h 30 min`, `2 d 4 h`. */
export function lasting(ms) {
  const minutes = Math.round(ms / 60_000);
  const parts = [[Math.floor(minutes / 1440), "d"], [Math.floor(minutes / 60) % 24, "h"], [minutes % 60, "min"]];
  return parts.filter(([count]) => count).slice(0, 2).map(([count, unit]) => `${count} ${unit}`).join(" ") || `${Math.round(ms / 1000)} s`;
}
