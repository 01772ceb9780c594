// The bars of one symbol as they came from the kernel, in order of time, and how to find one among them.

const COLUMNS = 6; // open time in ms, open, high, low, close, volume

/** The numbers in a buffer, whatever its place in memory. */
export function numbers(view, Kind) {
  return new Kind(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

export function read(view) {
  const flat = numbers(view, Float64Array);
  return Array.from({ length: flat.length / COLUMNS }, (_, row) => {
    const [ms, open, high, low, close, volume] = flat.subarray(row * COLUMNS, (row + 1) * COLUMNS);
    return { ms, time: ms / 1000, open, high, low, close, volume };
  });
}

export class Bars {
  constructor() {
    this.clear("", "", 60_000);
  }

  clear(symbol, interval, step) {
    Object.assign(this, { symbol, interval, step, all: [], whole: false, older: true, end: null });
  }

  get length() {
    return this.all.length;
  }

  get first() {
    return this.all[0] ?? null;
  }

  get last() {
    return this.all.at(-1) ?? null;
  }

  /** Put a page of bars where it belongs. A tail takes the place of the last bar, which may have been corrected. */
  take(place, page) {
    if (place === "new") this.all = page;
    else if (place === "older") this.all = [...page.filter((bar) => !this.first || bar.ms < this.first.ms), ...this.all];
    else if (page.length) this.all = [...this.all.slice(0, this.after(page[0].ms)), ...page];
  }

  /** The place of the first bar that opens at `ms` or later. */
  after(ms) {
    let [low, high] = [0, this.all.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.all[middle].ms < ms) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The place of the bar that opens at `ms`; -1 where there is none. */
  at(ms) {
    const place = this.after(ms);
    return this.all[place]?.ms === ms ? place : -1;
  }
}
