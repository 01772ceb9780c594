// What is said to the kernel: ready, heartbeats, acknowledgements, commands and their answers.

const BEAT_MS = 2000;
const ANSWER_MS = 7000;

export class Link {
  constructor(model) {
    this.model = model;
    this.waiting = new Map();
    this.next = 1;
    this.heard = performance.now();
    this.stopBeat = beat(() => this.send({ kind: "beat" }));
  }

  send(message) {
    this.model.send(message);
  }

  /** Ask for something; resolves to `{ ok, message, halted }`, also when nobody answers. */
  ask(name, about = {}, patience = ANSWER_MS) {
    const id = this.next++;
    return new Promise((resolve) => {
      const late = setTimeout(() => {
        this.waiting.delete(id);
        resolve({ ok: false, message: `${name} was not confirmed: this page's kernel does not answer. Use \`mexclab ${name}\` in a terminal.` });
      }, patience);
      this.waiting.set(id, (answer) => {
        clearTimeout(late);
        resolve(answer);
      });
      this.send({ kind: "command", id, name, ...about });
    });
  }

  hear(message) {
    this.heard = performance.now();
    if (message.kind !== "answer") return;
    this.waiting.get(message.id)?.(message);
    this.waiting.delete(message.id);
  }

  /** Milliseconds since the kernel last said anything. */
  silence() {
    return performance.now() - this.heard;
  }

  close() {
    this.stopBeat();
  }
}

// A worker keeps the beat: browsers slow the timers of a page in the background to one a minute,
// and its kernel would take the tab for dead.
function beat(tick) {
  const source = new Blob([`setInterval(() => postMessage(0), ${BEAT_MS})`], { type: "text/javascript" });
  const address = URL.createObjectURL(source);
  const worker = new Worker(address);
  worker.onmessage = tick;
  return () => {
    worker.terminate();
    URL.revokeObjectURL(address);
  };
}
