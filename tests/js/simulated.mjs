/** Simulated time, and a network and a hub on it: the real static/trainhub.js runs on them. */

export const RUN = { trainNo: '12345', startDate: '2026-11-23' };

/** A clock that jumps to the next timer. It takes the place of the platform's own. */
export class Clock {
  now = 1000;
  frozenUntil = 0; // the page sleeps: its timers and messages come late
  #timers = [];
  #number = 0;

  install() {
    globalThis.setTimeout = (call, ms) => this.at(this.now + Math.max(0, ms || 0), call, true);
    globalThis.clearTimeout = (timer) => { if (timer) timer.call = null; };
    globalThis.performance.now = () => this.now;
    return this;
  }

  at(when, call, ofThePage = false) {
    const timer = { when, call, ofThePage, number: this.#number += 1 };
    let place = this.#timers.length;
    while (place && isLater(timer, this.#timers[place - 1])) place -= 1;
    this.#timers.splice(place, 0, timer); // sorted: the earliest is last
    return timer;
  }

  sleep(ms) { return new Promise((done) => this.at(this.now + ms, done)); }

  /** Goes on until that time, and lets promises settle between. */
  async runUntil(end) {
    await settled();
    while (this.#timers.length && this.#timers.at(-1).when <= end) {
      const timer = this.#timers.pop();
      if (!timer.call) continue;
      this.now = Math.max(this.now, timer.when);
      if (timer.ofThePage && this.now < this.frozenUntil) {
        timer.when = this.frozenUntil;
        this.at(timer.when, () => timer.call?.(), true);
        continue;
      }
      timer.call();
      await settled();
    }
    this.now = end;
  }
}

const settled = () => new Promise((done) => { setImmediate(done); });
const isLater = (a, b) => a.when > b.when || (a.when === b.when && a.number > b.number);

/** Repeatable chance: the same numbers for the same seed. */
export function chanceOf(seed) {
  let state = seed;
  const random = () => { // mulberry32
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  const choice = (...items) => items[Math.floor(random() * items.length)];
  const wait = (mean) => -Math.log(1 - random()) * mean;
  return { random, choice, wait };
}

/** A class of sockets on a simulated network. `trouble` may be null, 'refuse' or 'hang'; `rate` is in bytes a second. */
export function networkOf(clock, hub) {
  return class Socket {
    static trouble = null;
    static rate = 1e6;
    static newest = null;
    static opened = 0;
    readyState = 0;
    silentUp = false;
    silentDown = false;
    wasOpen = false;
    cutNext = false; // the next message to the client breaks off inside
    #freeUp = 0;
    #freeDown = 0;

    constructor() {
      Socket.newest = this;
      Socket.opened += 1;
      this.rate = Socket.rate;
      if (Socket.trouble === 'hang') return;
      if (Socket.trouble === 'refuse') clock.at(clock.now + 50, () => this.cut());
      else clock.at(clock.now + 50, () => this.#open());
    }

    #open() {
      if (this.readyState !== 0) return;
      [this.readyState, this.wasOpen] = [1, true];
      hub.open(this);
    }

    send(text) {
      this.#freeUp = Math.max(this.#freeUp, clock.now) + (text.length * 1000) / this.rate;
      clock.at(this.#freeUp + 20, () => this.silentUp || this.readyState !== 1 || hub.hear(this, JSON.parse(text)));
    }

    /** What the hub says. */
    say(message) {
      const data = JSON.stringify(message);
      this.#freeDown = Math.max(this.#freeDown, clock.now) + (data.length * 1000) / this.rate;
      clock.at(this.#freeDown + 20, () => {
        if (this.silentDown || this.readyState !== 1) return;
        if (this.cutNext) this.#end(1006);
        else this.onmessage?.({ data });
      }, true);
    }

    /** The hub, or the network, ends it. */
    cut(code = 1006) {
      hub.sockets.delete(this);
      clock.at(Math.max(this.#freeDown, clock.now) + 20, () => this.silentDown || this.#end(code), true);
    }

    #end(code) {
      hub.sockets.delete(this);
      if (this.readyState === 3) return;
      this.readyState = 3;
      this.onclose?.({ code });
    }

    close() {
      this.readyState = 3;
      if (!this.silentUp) clock.at(Math.max(this.#freeUp, clock.now) + 20, () => hub.sockets.delete(this));
    }
  };
}

/** What a hub promises: numbered events, answers under keys, snapshots. */
export class ModelHub {
  epoch = 1;
  log = []; // users and their announcements, seq 1 first
  done = new Map(); // user and key → result
  kept = 40; // events that a client may have missed
  padding = 0;
  refusal = null; // the code for SUBSCRIBE_TRAIN
  sockets = new Map(); // socket → its user, and whether it has subscribed
  heartbeatSeconds = 25;

  constructor(chance) { this.chance = chance; }

  open(socket) {
    this.sockets.set(socket, { user: null, subscribed: false });
    socket.say({ type: 'WELCOME', heartbeatSeconds: this.heartbeatSeconds });
  }

  announce(text, user = 'hub') {
    this.log.push({ text, user });
    for (const [socket, { subscribed }] of this.sockets) if (subscribed) socket.say(this.event(this.log.length));
    return { seq: this.log.length };
  }

  event(seq) { return { type: 'ANNOUNCEMENT', ...RUN, seq, timestamp: '', data: { text: this.log[seq - 1].text } }; }

  hear(socket, message) {
    const session = this.sockets.get(socket);
    if (!session) return;
    const head = 'id' in message ? { id: message.id } : {};
    const [first, ...rest] = this.answer(session, message);
    socket.say({ ...first, ...head });
    for (const each of rest) socket.say(each);
  }

  answer(session, message) {
    switch (message.type) {
      case 'PING': return [{ type: 'PONG' }];
      case 'IDENTIFY':
        Object.assign(session, { user: message.token, subscribed: false });
        return [{ type: 'IDENTIFIED', user: session.user, role: 'TTE', trains: ['*'] }];
      case 'UNSUBSCRIBE_TRAIN':
        session.subscribed = false;
        return [{ type: 'UNSUBSCRIBED', ...RUN }];
      case 'SUBSCRIBE_TRAIN': return this.subscribe(session, message);
      default: return [this.command(session, message)];
    }
  }

  subscribe(session, { since = {} }) {
    if (this.refusal) return [{ type: 'ERROR', code: this.refusal, message: 'not yet' }];
    const seq = this.log.length;
    const missed = seq - (since.seq ?? 0);
    const recovered = since.epoch === `e${this.epoch}` && missed >= 0 && missed <= this.kept;
    session.subscribed = true;
    const place = { ...RUN, epoch: `e${this.epoch}`, seq };
    const answer = { type: 'SUBSCRIBED', ...place, recovered };
    if (!recovered) return [answer, { type: 'SNAPSHOT', ...place, run: { texts: seq, padding: 'x'.repeat(this.padding) } }];
    return [answer, ...Array.from({ length: missed }, (_, place) => this.event(since.seq + 1 + place))];
  }

  command({ user }, { key, text }) {
    if (this.chance.random() < 0.02) return { type: 'ERROR', code: 'RATE_LIMITED', message: '', retryAfterMs: 500 };
    const name = `${user} ${key}`;
    if (!this.done.has(name)) this.done.set(name, this.announce(text, user));
    return { type: 'DONE', result: this.done.get(name) };
  }

  restart(newEpoch = false) {
    this.epoch += newEpoch ? 1 : 0;
    for (const socket of [...this.sockets.keys()]) {
      socket.say({ type: 'GOODBYE', reason: 'it stops', retryAfterMs: 700 });
      socket.cut(1001);
    }
  }
}
