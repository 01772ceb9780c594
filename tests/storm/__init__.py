"""The fault storm: hundreds of snipes on the wire, in accelerated time, while all that can go wrong does.

Everything is the real thing: the engine, MEXC's adapter with its timeouts, limits, streams and resyncs, and
the simulator's server behind real sockets. Only time is governed. One event loop (``accelerated``) runs the
desk and the venue, and its clock jumps to the next timer whenever nobody has anything left to do. So:

- venue time runs as fast as the machine computes, twenty to forty times faster than the wall on an idle core;
- every delay, timeout, pause, ban and latency is measured on that same clock: a timeout of 4 s is one of
  4 s of venue time, and a busy machine never makes an answer late;
- the same seed gives the same storm, event by event: bytes cross the loopback while time stands still. (A
  kernel that took its time with some would make them late in venue time, which is one more delay.)

The two other roads were looked at. Desks side by side in real time are bound by the wall: a hundred openings
take minutes and a busy machine is taken for a fault. The demo's lockstep waits for every answer, so an answer
that is lost, or a stream that is cut, stops it.

A storm (``storm.Storm``) is one venue, one ledger and some dozens of listings that open within minutes.
Its seed draws what happens (``weather``): every fault kind of the simulator, clustered about the openings,
restarts of the desk on the same ledger, halts, resumes, flattens. ``books`` looks at the ledger after every
event, and compares it with the venue at the end. ``python -m tests.storm --seed 7 --snipes 300`` is the long
run: many storms of consecutive seeds, side by side.
"""
