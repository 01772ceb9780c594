// The venue's clock between two frames, and how old what is shown is.

const TRUSTED_MS = 2000; // a picture comes every second: beyond this a clock that runs on would only pretend

export class Clock {
  constructor() {
    this.arrived = null;
    this.lag = 0;
    this.at = 0;
    this.speed = 1;
    this.made = -1;
  }

  take(message) {
    if (message.desk.wall_ms === this.made) return;
    this.made = message.desk.wall_ms;
    this.arrived = performance.now();
    this.lag = message.lag_ms;
    this.at = message.desk.at_ms;
    this.speed = message.desk.speed;
  }

  /** Milliseconds of the machine's time since the shown picture was made; null before the first. */
  age() {
    return this.arrived === null ? null : performance.now() - this.arrived + this.lag;
  }

  /** The venue's time in milliseconds, extrapolated for a while and then standing still. */
  now() {
    return this.arrived === null ? 0 : this.at + Math.min(this.age(), TRUSTED_MS) * this.speed;
  }
}
