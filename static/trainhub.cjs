// Generated from trainhub.js by `make contract`: for CommonJS.
/**
 * A client of trainhub's live protocol, for browsers and for Node: with train_state.js, and nothing to build.
 *
 * Each event of a train comes once and in order, and each command happens once, however often the
 * socket breaks. The client keeps unanswered commands, and sends them again under their idempotency
 * keys. With a `storage` they survive a reload of the page.
 * docs/how-to/write-a-client.md shows how to use the client, trainhub.d.ts has the types.
 */

/** How an event changes the SNAPSHOT of a train that a client has: the event's own fields, and what follows from them. */

// Event → its changes: a part of the run, its fields, and a field of the event without which nothing changes.
// An exclamation mark before that field means that nothing changes with it.
// generated: changes in javascript
const CHANGES = {
  JOURNEY_STARTED: [['run', { status: 'RUNNING', index: '=station.index' }]],
  JOURNEY_COMPLETED: [['run', { status: 'COMPLETED' }]],
  TRAIN_CANCELLED: [['run', { status: 'CANCELLED' }]],
  RUN_CLOSED: [['run', { status: 'CLOSED' }]],
  TRAIN_REINSTATED: [['run', { status: '=status' }]],
  STATION_ARRIVAL: [
    ['run', { index: '=station.index', departed: false, delayMinutes: '=delayMinutes' }],
    ['stop', { actualArrival: '=actual', platform: '=platform', platformConfirmed: false }],
    ['stop', { platformConfirmed: true }, 'platform'],
    ['stop', { platformConfirmed: '=platformConfirmed' }, 'platformConfirmed'],
    ['checked', {}],
  ],
  STATION_DEPARTURE: [
    ['run', { departed: true, delayMinutes: '=delayMinutes' }],
    ['stop', { actualDeparture: '=actual', platform: '=platform' }],
  ],
  STATION_SKIPPED: [['stop', { skipped: true }]],
  SKIP_UNDONE: [['stop', { skipped: false }]],
  DELAY_UPDATE: [['run', { delayMinutes: '=delayMinutes' }]],
  PLATFORM_CHANGE: [['stop', { platform: '=platform', platformConfirmed: '=confirmed' }]],
  PASSENGER_BOARDED: [
    [
      'person',
      { state: 'ABOARD', markedAt: '=markedAt|timestamp', assumed: '=assumed', left: null },
    ],
  ],
  BOARDED_UNDONE: [['person', { state: 'DUE', markedAt: null, assumed: false, left: null }]],
  PASSENGER_ALIGHTED: [
    ['person', { state: 'ALIGHTED' }],
    ['person', { markedAt: '=markedAt|timestamp', left: '=left' }, 'left'],
  ],
  PASSENGER_UNCHECKED: [['person', { state: 'UNCHECKED' }]],
  PASSENGER_RESTORED: [['person', { state: '=state' }]],
  PASSENGER_CANCELLED: [['person', { state: 'CANCELLED' }]],
  BOARDING_CHANGED: [['person', { from: '=from' }]],
  NO_SHOW: [['person', { state: 'NT', markedAt: '=markedAt|timestamp', assumed: false }]],
  NO_SHOW_UNDONE: [['person', { state: 'DUE', markedAt: null, assumed: false, left: null }]],
  BERTH_LOST: [
    ['person', { coach: null, berth: null }],
    ['person', { state: 'DUE', markedAt: null, assumed: false, left: null }, '!blocked'],
  ],
  BERTHS_BLOCKED: [],
  BERTHS_UNBLOCKED: [],
  COACH_CHECKED: [['checked', {}]],
  SIGNED_ON: [['duty', { tte: '=tte', since: '=timestamp' }]],
  SIGNED_OFF: [['duty', { tte: null, since: null }]],
  REMARKED: [],
  BERTH_VACATED: [],
  BERTH_ALLOTTED: [
    ['person', { status: '=status', coach: '=coach', berth: '=berth' }],
    ['person', { upgradedFrom: '=upgradedFrom' }, 'upgradedFrom'],
  ],
  UPGRADE_PENDING: [
    [
      'opened',
      {
        offerId: '=offerId',
        pnr: '=pnr',
        index: '=index',
        coach: '=coach',
        berth: '=berth',
        berthType: '=berthType',
        to: '=to',
        expiresAt: '=expiresAt',
        state: 'OPEN',
        closedAt: null,
        answeredBy: null,
        oldCoach: '=oldCoach',
        oldBerth: '=oldBerth',
        from: '=from',
        name: '=name',
        cause: '=cause',
        reason: '=reason',
        passedOver: '=passedOver',
        delivered: 0,
        deliveredAt: null,
      },
    ],
  ],
  UPGRADE_OFFER: [
    [
      'opened',
      {
        offerId: '=offerId',
        pnr: '=pnr',
        index: '=index',
        coach: '=coach',
        berth: '=berth',
        berthType: '=berthType',
        to: '=to',
        expiresAt: '=expiresAt',
        state: 'OPEN',
        closedAt: null,
        answeredBy: null,
        oldCoach: '=person.coach',
        oldBerth: '=person.berth',
        from: '=from|run.station.code',
      },
    ],
  ],
  UPGRADE_DELIVERED: [
    ['offer', { delivered: '=devices', deliveredAt: '=offer.deliveredAt|timestamp' }],
  ],
  UPGRADE_CONFIRMED: [
    ['person', { status: 'CNF', coach: '=coach', berth: '=berth' }],
    ['person', { upgradedFrom: '=upgradedFrom' }, 'upgradedFrom'],
    ['closed', {}],
  ],
  UPGRADE_CLOSED: [['closed', {}]],
  CO_PASSENGER_CHANGED: [],
  CLOCK_CORRECTED: [['clock', {}]],
  ANNOUNCEMENT: [],
};
// end

/** Returns the run after an event. Null means that only a fresh SNAPSHOT shows it. The given run stays as it is. */
function fold(run, { type, seq, timestamp, data }) {
  if (!Object.hasOwn(CHANGES, type)) return null;
  let next = { ...run, seq };
  for (const [part, fields, needed] of CHANGES[type]) {
    if (needed && isSaid(data, needed) === needed.startsWith('!')) continue;
    next = PARTS[part](next, data, (own) => filled(fields, { ...data, timestamp, run, ...own }));
    if (!next) return null;
  }
  return next;
}

/** Returns the run with other figures. */
const withFigures = (run, figures) => ({ ...run, figures });

const isSaid = (data, name) => data[name.replace('!', '')] != null;
const isPerson = ({ pnr, index }) => (each) => each.pnr === pnr && each.index === index;
const isOffer = ({ offerId }) => (each) => each.offerId === offerId;

const PARTS = {
  run: (run, _, fill) => expected({ ...run, ...fill() }),
  stop(run, { station }, fill) {
    const stations = [...run.stations];
    stations[station.index] = { ...stations[station.index], ...fill() };
    return expected({ ...run, stations });
  },
  person(run, data, fill) {
    const place = run.passengers?.findIndex(isPerson(data)) ?? -1;
    if (place < 0) return null;
    const passengers = [...run.passengers];
    passengers[place] = { ...passengers[place], ...fill() };
    return { ...run, passengers };
  },
  opened(run, data, fill) {
    const person = run.passengers?.find(isPerson(data));
    return person ? { ...run, offers: [...run.offers, fill({ person })] } : null;
  },
  offer: (run, data, fill) => ({ ...run, offers: run.offers.map((offer) => (isOffer(data)(offer) ? { ...offer, ...fill({ offer }) } : offer)) }),
  closed: (run, data) => ({ ...run, offers: run.offers.filter((each) => !isOffer(data)(each)) }),
  /** A coach was checked at this station, or the train is at another one. */
  checked(run, { coach, station }) {
    if (!run.checked) return run;
    if (!coach) return { ...run, checked: [] };
    const { stop } = run.stations[station.index];
    const duty = run.duty.map((each) => (each.coach === coach ? { ...each, checked: stop } : each));
    return { ...run, duty, checked: [...new Set([...run.checked, coach])].sort() };
  },
  /** A TTE has these coaches from now on, or none. */
  duty(run, { tte, coaches }, fill) {
    const free = (each) => (each.tte === tte ? { ...each, tte: null, since: null } : each);
    return { ...run, duty: run.duty.map((each) => (coaches.includes(each.coach) ? { ...each, ...fill() } : free(each))) };
  },
  /** The hub's clock was set, so the times that it gave are moved. */
  clock: (run, { bySeconds }) => (run.passengers ? {
    ...run,
    passengers: run.passengers.map((each) => (each.markedAt ? { ...each, markedAt: later(each.markedAt, bySeconds) } : each)),
    offers: run.offers.map((each) => ({ ...each, expiresAt: later(each.expiresAt, bySeconds) })),
  } : run),
};

/** Returns the fields with their values. A text that begins with = says where the value is. */
function filled(fields, from) {
  const at = (path) => path.split('.').reduce((value, name) => value?.[name], from);
  const valueOf = (value) => (String(value).startsWith('=')
    ? value.slice(1).split('|').map(at).find((each) => each != null) ?? null
    : value);
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, valueOf(value)]));
}

/** Returns the run with what follows from its delay, its place and its stops: the expected times, and the next stop. */
function expected(run) {
  const { index, departed, delayMinutes } = run;
  const coming = run.stations.find((each) => each.index > index && !each.skipped);
  const late = Math.max(delayMinutes, 0) * 60;
  const stations = run.stations.map((stop) => ({
    ...stop,
    // A train that left early comes early to the next stop, and waits there for its booked departure.
    expectedArrival: stop.actualArrival ?? later(stop.scheduledArrival, departed && stop === coming ? delayMinutes * 60 : late),
    expectedDeparture: stop.actualDeparture ?? later(stop.scheduledDeparture, late),
  }));
  const { code, name } = stations[index];
  const next = coming ? { code: coming.code, name: coming.name, index: coming.index, expected: stations[coming.index].expectedArrival } : null;
  return { ...run, stations, station: { code, name }, next };
}

/** Returns a time of the hub, as it writes it, some seconds later. */
function later(moment, seconds) {
  if (!moment) return null;
  const [, clock, rest] = /^(.{19})(.*)$/.exec(moment);
  return new Date(Date.parse(`${clock}Z`) + seconds * 1000).toISOString().slice(0, 19) + rest;
}

/** The client's version. It is also the version of the hub that the client was made for. */
const VERSION = '0.1.0';

const HOUR_MS = 3_600_000;
// The longest wait of a command. The hub keeps a key's answer for 24 hours: after that, a command
// that is sent again could happen twice.
const KEPT_MS = 23.5 * HOUR_MS;
const MOST_BYTES = 64 * 1024 - 100; // of one message, without its id
const LARGE_BYTES = 16 * 1024; // a message of this size may take long on a slow link
const MOST_UNREAD = 1000; // messages of one train that wait for an async handler
const LONGEST_TIMER_MS = HOUR_MS; // the hub cannot make a client wait longer
// A timer that is later than this was delayed, as the page slept. It says nothing about the link.
const LATE_MS = 1000;
const TIMING = {
  backoffFirstMs: 1000,
  backoffMostMs: 30_000,
  steadyMs: 10_000, // after a connection of this length the backoff starts again from its first step
  quietMs: 25_000, // without a message before a PING; WELCOME's heartbeatSeconds replaces this
  askedMs: 5_000, // without an answer to a message before a PING
  answerMs: 15_000, // of silence after a PING after which the link is dead
  slowMs: 90_000, // the same, while a SNAPSHOT or a large message is on its way
  renewMs: 500, // before `state` asks for a SNAPSHOT, more or less: a whole train may need one at the same moment
};
const FAIR_MS = 1000; // between two times of the hub that show how fast its clock is
const TOKEN_REFUSED = 4403; // the hub's close code
// Error codes after which the client sends a command again.
const LATER = new Set(['UNAVAILABLE', 'RATE_LIMITED']);
// Error codes after which it subscribes again: the train may be registered later.
const NOT_YET = new Set([...LATER, 'UNKNOWN_TRAIN']);

const now = () => performance.now(); // monotonic: corrections of the clock do not change it

/**
 * An error of the protocol or of the client. `details` are those of the protocol.
 * `final` is false if the client tries again by itself.
 */
class HubError extends Error {
  constructor(code, message, details = {}, final = true) {
    super(message);
    Object.assign(this, { name: 'HubError', code, details, final });
  }
}

/** Makes a client, which connects by itself until `close`. See trainhub.d.ts. */
const connect = (url, options) => new Client(url, options);

/**
 * The life of a link. It has no timer and no clock: the caller gives the time, in ms.
 *
 * Any received byte is a sign of life. A browser shows bytes only as whole messages, so a large
 * message that is on its way gets more time. A PING is due after `quietMs` without a message, or
 * when a message is unanswered for `askedMs`. The link is dead after `answerMs` of silence after a
 * PING. It is also dead if the PING is unanswered for `slowMs`, plus 1 ms for each byte received since.
 */
class LinkLife {
  #timing; #messageAt; #heardAt; #pingedAt;
  #pinging = true; // opening a socket counts as a PING: WELCOME answers it
  #bytes = 0; // received since the PING
  #spared = false; // the PING was repeated once, because the timer was late

  constructor(timing, at) {
    this.#timing = timing;
    this.#messageAt = this.#heardAt = this.#pingedAt = at;
  }

  heard(bytes, at) {
    this.#messageAt = this.#heardAt = at;
    this.#bytes += bytes;
    this.#spared = false;
  }

  answered(timing = this.#timing) {
    this.#timing = timing;
    this.#pinging = false;
  }

  /** Returns whether to send a PING now. An unanswered PING is repeated only after a sleep. */
  check(at, slept = false) {
    if (this.#pinging && !slept) return false;
    [this.#pinging, this.#pingedAt, this.#bytes] = [true, at, 0];
    return true;
  }

  /** Returns when `step` is due. `askedAt` is the time of the oldest unanswered message. */
  due(askedAt, slow) {
    const { quietMs, askedMs, answerMs, slowMs } = this.#timing;
    if (!this.#pinging) return Math.min(this.#messageAt + quietMs, Math.max(askedAt, this.#pingedAt) + askedMs);
    const silent = Math.max(this.#pingedAt, this.#heardAt) + (slow ? slowMs : answerMs);
    return Math.min(silent, this.#pingedAt + slowMs + this.#bytes);
  }

  /** Returns 'ping', 'dead' or null. */
  step(at, askedAt, slow) {
    const due = this.due(askedAt, slow);
    if (at < due) return null;
    if (this.#pinging && (this.#spared || at - due < LATE_MS)) return 'dead';
    this.#spared = this.#pinging;
    return this.check(at, true) && 'ping';
  }
}

/**
 * The hub's clock, as its messages tell it, from the readings of a clock that is never set.
 * A demo's clock runs faster than life, which two messages show.
 */
class HubClock {
  #hub = NaN; #read = 0;
  #speed = 1;

  set(hub, read) {
    if (Number.isNaN(hub)) return;
    const [passed, here] = [hub - this.#hub, read - this.#read];
    if (here >= FAIR_MS) this.#speed = passed > 2 * here ? passed / here : 1;
    [this.#hub, this.#read] = [hub, read];
  }

  at(read) { return this.#hub + (read - this.#read) * this.#speed; }
}

class Client {
  #url; #options; #timing;
  #socket = null;
  #life = null; // of the socket
  #lookAt = Infinity; // when the timer of #life fires
  #frozen = false;
  #attempt = 0; // results of an older attempt are void
  #tries = 0;
  #openedAt = null;
  #clock = new HubClock();
  #notBefore = -Infinity; // by the hub's retryAfterMs
  #timers = {};
  #ids = 0;
  #answers = new Map(); // id → the callback for the answer, and the time of the question
  #login;
  #identifying = null; // the promise of `identify`, until it is settled
  #user = null;
  #role = null;
  #identity = null;
  #who; // user, role and trains of the last connection
  #ready = false; // identified, so that commands may go
  #subscriptions = new Set();
  #fleet = null;
  #queue;
  #asked = null; // one command at a time, so that they stay in order
  #state = 'connecting';
  #listeners = [];

  constructor(url, options = {}) {
    const { WebSocket = globalThis.WebSocket, timing, token, user, storage, storageName = 'trainhub', mostWaiting = 1000 } = options;
    if (!WebSocket) throw new TypeError('this platform has no WebSocket: give a class as the option WebSocket');
    const address = new URL(url, globalThis.location?.href);
    address.protocol = address.protocol.replace('http', 'ws');
    if (!/^wss?:$/.test(address.protocol)) throw new TypeError(`${url} is not the address of a hub: give one with ws, wss, http or https`);
    this.#url = address.href;
    this.#options = { ...options, WebSocket };
    this.#timing = { ...TIMING, ...timing };
    this.#queue = new CommandQueue(storage, `${storageName}:`, mostWaiting, (error) => this.#complain(error));
    this.#logIn(token, user);
    this.#listen();
    queueMicrotask(() => this.#state !== 'closed' && this.#open());
  }

  /** `connecting`, `live`, `waiting` to try again, `refused` because of its token, or `closed`. */
  get state() { return this.#state; }

  /** The unanswered commands in order; with a storage also those from before a reload. */
  get waiting() { return this.#queue.list(); }

  /** The user, role, trains and `expiresAt` of the token that the hub has accepted; null without one. */
  get identity() { return this.#identity; }

  /** The hub's time in ms since 1970, for countdowns: this machine's clock may be wrong. Null before the first connection. */
  now() {
    const at = this.#clock.at(now());
    return Number.isNaN(at) ? null : at;
  }

  /** Becomes another user, or no user without a token. Users see different things, so each subscription gets a new snapshot. */
  async identify(token, { user } = {}) {
    if (this.#state === 'closed') throw closedError();
    const before = this.#login;
    const login = this.#logIn(token, user);
    this.#settle((each) => each.reject(new HubError('SUPERSEDED', 'identify was called again before the hub answered')));
    const identified = new Promise((resolve, reject) => { this.#identifying = { resolve, reject }; });
    identified.catch(() => {}); // the caller gets the error by the returned promise
    if (this.#ready) {
      this.#ready = false; // no command is sent while the user changes
      const attempt = this.#attempt;
      try {
        await this.#findToken(login);
      } catch (error) {
        if (this.#login === login) this.#goBack(before, attempt, error);
      }
      if (this.#login === login && attempt === this.#attempt) this.#switch(login, before);
    } else if (this.#state !== 'waiting') {
      this.#open();
    }
    return identified;
  }

  /** Follows a train, also after reconnects. Its events, snapshots and figures go to the handlers. */
  subscribe(train, handlers = {}) {
    const subscription = new Subscription(this, typeof train === 'object' ? train : { trainNo: train }, handlers);
    const { own } = subscription;
    own.call = (handler, message) => this.#call(handler, message);
    own.caughtUp = () => this.#ready && this.#join(own);
    own.renew = () => this.#renewLater(own);
    own.handed = (message) => this.#handed(message);
    this.#subscriptions.add(own);
    if (this.#ready) this.#join(own);
    return subscription;
  }

  unsubscribe({ own }) {
    if (!this.#subscriptions.delete(own)) return;
    own.end();
    if (own.joined) this.#leave(own);
  }

  /** Follows the figures of the hub and of all runs, without people. Null ends it. */
  followFleet(handler) {
    this.#fleet = handler && { handler, hub: null, trains: new Map() };
    if (!this.#ready) return;
    if (handler) this.#askForFleet();
    else this.#send({ type: 'UNSUBSCRIBE_FLEET' });
  }

  /** Sends a command as soon as the hub can be reached. Resolves with its result. */
  command(type, fields = {}, { key = newKey(), withinMs = KEPT_MS } = {}) {
    try {
      if (this.#state === 'closed') throw closedError();
      const answer = this.#queue.add({ ...fields, type, key }, this.#login, Math.min(withinMs, KEPT_MS));
      this.#pump();
      return answer;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Sends a waiting command, which `waiting` shows without a user, as the current user. */
  claim(key) {
    if (!this.#ready || this.#user === null) throw new HubError('NOT_IDENTIFIED', 'a command is claimed as the current user: identify first');
    this.#queue.claim(key, this.#user);
    this.#pump();
  }

  /** Drops a waiting command; its promise is rejected with DISCARDED. The hub may have carried it out. */
  discard(key) { this.#queue.discard(key); }

  /** Pings the hub now. If it does not answer, the socket is replaced. */
  check() { this.#check(false); }

  /** Ends the client. Waiting promises are rejected; the next client sends the commands in a storage. */
  close() {
    if (this.#state === 'closed') return;
    for (const [target, type, listener] of this.#listeners) target.removeEventListener(type, listener);
    this.#detach();
    this.#queue.close();
    this.#settle((each) => each.reject(closedError()));
    for (const own of this.#subscriptions) own.end(closedError());
    this.#tell('closed');
  }

  // --- the connection ---

  async #open() {
    this.#detach();
    const [attempt, login] = [this.#attempt, this.#login];
    this.#tell('connecting');
    this.#after('token', this.#timing.slowMs, () => this.#lost('there is no token yet'));
    try {
      await this.#findToken(login);
    } catch (error) {
      if (attempt !== this.#attempt) return;
      if (error instanceof HubError) this.#stop(error);
      else this.#lost(`there is no token: ${error?.message ?? error}`);
      return;
    }
    if (attempt !== this.#attempt) return;
    clearTimeout(this.#timers.token);
    if (login.token !== undefined && login.token === login.refused) this.#stop();
    else this.#connect();
  }

  async #findToken(login) {
    if (login.token !== undefined && login.token !== login.refused) return;
    const found = (await (typeof login.source === 'function' ? login.source() : login.source)) ?? undefined;
    if (found !== undefined && typeof found !== 'string') {
      throw new HubError('BAD_TOKEN', `the token is of the type ${typeof found}: give a text`);
    }
    login.token = found;
    if (found !== undefined) this.#name(login, subjectOf(found));
  }

  #connect() {
    let socket;
    try {
      socket = new this.#options.WebSocket(this.#url);
    } catch (error) { // such as ws: on a page with https
      this.#broken(error);
      return;
    }
    this.#socket = socket;
    this.#life = new LinkLife(this.#timing, now());
    socket.onmessage = ({ data }) => this.#hear(data);
    socket.onclose = ({ code }) => (code === TOKEN_REFUSED ? this.#refuse() : this.#lost(`closed with ${code}`));
    socket.onerror = () => {}; // the close event follows
    this.#watch();
  }

  #detach() {
    this.#attempt += 1;
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    const socket = this.#socket;
    [this.#socket, this.#life, this.#ready, this.#asked, this.#timers] = [null, null, false, null, {}];
    this.#lookAt = Infinity;
    this.#answers.clear();
    for (const own of this.#subscriptions) own.leave();
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #lost(reason) {
    const { backoffFirstMs, backoffMostMs, steadyMs } = this.#timing;
    if (this.#openedAt !== null && now() - this.#openedAt > steadyMs) this.#tries = 0;
    this.#openedAt = null;
    this.#detach();
    const backoff = Math.random() * Math.min(backoffMostMs, backoffFirstMs * 2 ** this.#tries++);
    const retryInMs = Math.max(0, this.#notBefore - now()) + backoff;
    this.#after('retry', retryInMs, () => this.#open());
    this.#tell('waiting', { reason, retryInMs });
  }

  /** Reports an unexpected error, such as a message against the protocol, and connects again. */
  #broken(error) {
    const said = new HubError('BROKEN', `the connection was given up: ${error?.message ?? error}`, {}, false);
    said.cause = error;
    this.#complain(said);
    if (this.#state !== 'closed') this.#lost(said.message);
  }

  /** Records that the hub refused the token. Without a function for a fresh one, the client stops. */
  #refuse(error) {
    this.#login.refused = this.#login.token;
    if (typeof this.#login.source === 'function') this.#lost('the hub refuses this token');
    else this.#stop(error);
  }

  #stop(error = new HubError('BAD_TOKEN', 'the hub refuses this token: give a fresh one')) {
    this.#detach();
    this.#settle((each) => each.reject(error));
    this.#tell('refused', { reason: error.message });
  }

  #after(name, ms, then) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = setTimeout(then, ms);
  }

  // --- whether the link is alive ---

  /** Sets the timer for the link's next step, unless the timer fires before that anyway. */
  #watch() {
    if (!this.#life || this.#frozen) return;
    const due = this.#life.due(this.#askedAt, this.#slow);
    if (due >= this.#lookAt) return;
    this.#lookAt = due;
    this.#after('life', due - now(), () => {
      this.#lookAt = Infinity;
      const step = this.#life.step(now(), this.#askedAt, this.#slow);
      if (step === 'dead') {
        this.#socket.terminate?.(); // in Node a close would wait for a dead link
        this.#lost('the hub does not answer');
        return;
      }
      if (step === 'ping') this.#ping();
      this.#watch();
    });
  }

  get #askedAt() {
    const [oldest] = this.#answers.values();
    return oldest ? oldest.at : Infinity;
  }

  /** Whether a large message is on its way, in either direction. */
  get #slow() {
    return this.#asked?.size > LARGE_BYTES || this.#fleet?.hub === null || [...this.#subscriptions].some((own) => own.expects || own.renews);
  }

  #check(slept) {
    if (!this.#life?.check(now(), slept)) return;
    this.#ping();
    this.#watch();
  }

  #ping() {
    const [id, life] = [++this.#ids, this.#life];
    life.pong = id;
    this.#send({ type: 'PING', id });
  }

  /** Listens to the page's and the network's events; Node has none. */
  #listen() {
    const page = globalThis.document;
    const wake = () => {
      const slept = this.#frozen;
      this.#frozen = false;
      if (this.#state === 'waiting' && now() >= this.#notBefore) this.#open();
      else this.#check(slept);
      this.#watch();
    };
    const freeze = () => { // a late timer would take the link for dead
      this.#frozen = true;
      clearTimeout(this.#timers.life);
      this.#lookAt = Infinity;
    };
    const add = (target, type, listener) => {
      if (!target?.addEventListener) return;
      target.addEventListener(type, listener);
      this.#listeners.push([target, type, listener]);
    };
    add(globalThis, 'online', wake);
    add(globalThis, 'offline', () => this.#check(false)); // a hub on this machine may still answer
    add(globalThis, 'pageshow', wake);
    add(page, 'visibilitychange', () => page.visibilityState === 'hidden' || wake());
    add(page, 'freeze', freeze);
    add(page, 'resume', wake);
  }

  // --- telling the app ---

  #tell(state, detail = {}) {
    this.#state = state;
    this.#call(this.#options.onState, state, detail);
  }

  #complain(error) {
    if (this.#options.onError) this.#call(this.#options.onError, error);
    else console.warn(`trainhub: ${error.code}: ${error.message}`);
  }

  /** Calls a handler and reports its error. Returns a promise if the handler is async. */
  #call(handler, ...values) {
    try {
      const result = handler?.(...values);
      return typeof result?.then === 'function' ? Promise.resolve(result).catch(report) : undefined;
    } catch (error) {
      return report(error);
    }
  }

  #send(message) {
    // A closing socket accepts no message; its close event follows.
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(message));
  }

  #ask(message, answered) {
    const id = ++this.#ids;
    this.#answers.set(id, { answered, at: now() });
    this.#send({ ...message, id });
    this.#watch();
  }

  // --- what the hub says ---

  #hear(data) {
    try {
      this.#frozen = false;
      this.#life.heard(data.length ?? 0, now());
      const message = JSON.parse(data);
      const waits = this.#answers.get(message.id);
      this.#answers.delete(message.id);
      if (message.retryAfterMs > 0) this.#notBefore = now() + Math.min(message.retryAfterMs, LONGEST_TIMER_MS);
      if (waits) waits.answered(message);
      else if (message.type === 'WELCOME') this.#welcome(message);
      else if (message.type === 'PONG') this.#pong(message);
      else if (message.type === 'FLEET') this.#hearFleet(message);
      else if (message.trainNo && message.startDate) this.#pass(message);
      this.#watch();
    } catch (error) { // errors of handlers are caught in #call
      this.#broken(error);
    }
  }

  #pong({ id, serverTime }) {
    this.#clock.set(Date.parse(serverTime), now());
    if (id === this.#life.pong) this.#life.answered();
    // The hub answers in order, so after a later PONG this answer will not come.
    if (now() - this.#askedAt > this.#timing.slowMs) this.#lost('the hub did not answer a message');
  }

  #welcome({ heartbeatSeconds, serverTime }) {
    this.#openedAt = now();
    this.#clock.set(Date.parse(serverTime), now());
    const quietMs = heartbeatSeconds > 0 ? heartbeatSeconds * 1000 : this.#timing.quietMs;
    this.#life.answered({ ...this.#timing, quietMs });
    const { token } = this.#login;
    if (token === undefined) this.#enter({});
    else this.#ask({ type: 'IDENTIFY', token }, (answer) => this.#identified(answer));
  }

  #identified(answer) {
    if (answer.type !== 'ERROR') this.#enter(answer);
    else if (answer.code === 'BAD_TOKEN') this.#refuse(errorOf(answer));
    else this.#lost(answer.message);
  }

  #enter({ user = null, role = null, trains = [], expiresAt }) {
    const who = JSON.stringify([user, role, trains]);
    const changed = this.#who !== undefined && this.#who !== who;
    [this.#ready, this.#user, this.#role, this.#who] = [true, user, role, who];
    this.#identity = user === null ? null : { user, role, trains, expiresAt };
    this.#name(this.#login, user);
    this.#settle((each) => each.resolve({ user, role, trains, expiresAt }));
    for (const own of this.#subscriptions) {
      if (changed) own.restart(); // another user saw other events, so its place means nothing here
      this.#join(own);
    }
    if (this.#fleet) this.#askForFleet();
    this.#tell('live');
    this.#pump();
    const others = this.#queue.others(user, this.#login);
    if (others.length) {
      this.#complain(new HubError('OTHERS_WAIT', 'commands of another or an unknown user wait: claim or discard them', { keys: others }, false));
    }
  }

  // --- who it is ---

  /** `user` is the token's user; null means not known yet. Commands of a login belong to its user. */
  #logIn(source, user = null) {
    this.#login = { source, user, fixed: user !== null, token: undefined, refused: undefined };
    if (typeof source === 'string') this.#name(this.#login, subjectOf(source));
    return this.#login;
  }

  #name(login, user) {
    if (user === null || login.fixed) return;
    login.user = user;
    this.#queue.name(login);
  }

  #settle(how) {
    const waiter = this.#identifying;
    this.#identifying = null;
    if (waiter) how(waiter);
  }

  /** Becomes another user on the open socket: leaves the rooms, then identifies again. */
  #switch(login, before) {
    const attempt = this.#attempt;
    for (const own of this.#subscriptions) {
      if (own.joined) this.#leave(own);
    }
    const { token } = login;
    this.#ask(token === undefined ? { type: 'LOGOUT' } : { type: 'IDENTIFY', token }, (answer) => {
      if (answer.type === 'ERROR') this.#goBack(before, attempt, errorOf(answer));
      else this.#enter(answer);
    });
  }

  /** Continues as the user before. */
  #goBack(before, attempt, error) {
    this.#settle((each) => each.reject(error));
    this.#login = before;
    if (attempt !== this.#attempt) { // the socket was replaced meanwhile
      if (this.#state !== 'waiting') this.#open();
      return;
    }
    this.#ready = true;
    for (const own of this.#subscriptions) if (!own.joined) this.#join(own);
    this.#pump();
  }

  // --- trains ---

  #join(own) {
    const { trainNo, startDate, last } = own;
    const nextRun = (own.undated && startDate !== undefined) || undefined;
    own.expects = true;
    this.#ask({ type: 'SUBSCRIBE_TRAIN', trainNo, startDate, since: last, nextRun }, (answer) => {
      if (!this.#subscriptions.has(own)) {
        if (answer.type !== 'ERROR') this.#send({ ...runOf(answer), type: 'UNSUBSCRIBE_TRAIN' });
      } else if (answer.type === 'ERROR') {
        this.#refused(own, answer);
      } else {
        own.join(answer);
        this.#call(own.handlers.subscribed, answer);
      }
    });
  }

  #refused(own, answer) {
    const error = errorOf(answer);
    error.final = !NOT_YET.has(error.code);
    own.leave();
    if (error.final) {
      this.#subscriptions.delete(own);
      own.end(error);
    } else {
      this.#joinLater(own, answer.retryAfterMs);
    }
    if (error.code === own.refusal || error.code === 'RATE_LIMITED') return; // the app was told already, or does not need to know
    own.refusal = error.code;
    if (own.handlers.error) this.#call(own.handlers.error, error);
    else this.#complain(error);
  }

  #joinLater(own, retryAfterMs = 0) {
    const { backoffFirstMs, backoffMostMs } = this.#timing;
    const backoff = Math.min(backoffMostMs, backoffFirstMs * 2 ** own.tries++);
    this.#after(`join ${own.number}`, pause(retryAfterMs, backoff), () => this.#ready && this.#join(own));
  }

  /** Asks for a SNAPSHOT for `state` alone. The app's events go on meanwhile. */
  #renewLater(own, { retryAfterMs } = {}, backoffMs = this.#timing.renewMs) {
    this.#after(`state ${own.number}`, pause(retryAfterMs, backoffMs), () => {
      if (!own.isStale || own.renews) return;
      own.renews = true;
      this.#ask({ type: 'SUBSCRIBE_TRAIN', ...runOf(own) }, (answer) => {
        if (answer.type !== 'ERROR') return;
        own.renews = false;
        if (NOT_YET.has(answer.code)) this.#renewLater(own, answer, this.#timing.backoffMostMs);
      });
    });
  }

  #leave(own) {
    own.leave();
    const others = [...this.#subscriptions].some((each) => each.joined && isOf(each, own));
    if (!others) this.#send({ type: 'UNSUBSCRIBE_TRAIN', ...runOf(own) });
  }

  #pass(message) {
    for (const own of this.#subscriptions) {
      if (!own.joined || !isOf(own, message)) continue;
      if (own.isOlder(message)) { // this hub is behind the app
        own.leave();
        this.#joinLater(own);
      } else {
        own.take(message);
      }
    }
  }

  /** A handler has an event. The hub need not tell the passenger by push and e-mail then. */
  #handed(message) {
    if (message.ack && this.#role === 'PASSENGER') this.#send({ type: 'ACK', ...runOf(message), seq: message.seq });
  }

  // --- the fleet ---

  #askForFleet() {
    this.#fleet.hub = null; // the next FLEET has all
    this.#ask({ type: 'SUBSCRIBE_FLEET' }, ({ type, retryAfterMs }) => {
      if (type !== 'ERROR') return;
      this.#after('fleet', pause(retryAfterMs, this.#timing.backoffFirstMs), () => this.#ready && this.#fleet && this.#askForFleet());
    });
  }

  #hearFleet({ whole, hub, trains, gone }) {
    const fleet = this.#fleet;
    if (!fleet || (!whole && !fleet.hub)) return; // from before the app asked again
    if (whole) fleet.trains.clear();
    for (const run of gone) fleet.trains.delete(run);
    for (const news of trains) fleet.trains.set(news.run, { ...fleet.trains.get(news.run), ...news });
    fleet.hub = { ...fleet.hub, ...hub };
    this.#call(fleet.handler, { ...fleet.hub, trains: [...fleet.trains.values()] });
  }

  // --- commands ---

  #pump() {
    if (!this.#ready || this.#asked) return;
    const entry = this.#asked = this.#queue.next(this.#user, this.#login, this.#clock.at(now()));
    if (!entry) return;
    this.#ask(entry.message, (answer) => {
      if (answer.type === 'ERROR' && LATER.has(answer.code)) {
        const wait = pause(answer.retryAfterMs, this.#timing.backoffFirstMs);
        this.#after('pump', wait, () => { this.#asked = null; this.#pump(); });
        return;
      }
      this.#asked = null;
      if (answer.type === 'ERROR') this.#queue.fail(entry, errorOf(answer));
      else this.#queue.succeed(entry, answer.result);
      this.#pump();
    });
  }
}

let subscriptions = 0;

/** A followed train. `own` is for its client. */
class Subscription {
  constructor(client, train, handlers) {
    this.own = new Following(train, handlers);
    this.client = client;
  }

  get trainNo() { return this.own.trainNo; }
  get startDate() { return this.own.startDate; }
  /** The place of the last event that a handler finished. A later `subscribe` to the same run can continue from it. */
  get since() { return this.own.since; }
  get ready() { return this.own.ready; }
  /** The run as a fresh SNAPSHOT would have it: the last one, and what has come since. Null before the first. */
  get state() { return this.own.read(); }

  /** Sends a command on this run, also if it is sent again after midnight. */
  command(type, fields = {}, options = {}) {
    return this.client.command(type, { trainNo: this.trainNo, startDate: this.startDate, ...fields }, options);
  }

  unsubscribe() { this.client.unsubscribe(this); }
}

/**
 * The messages of a train that have come, and how far the app has got with them.
 *
 * `last` is the place of the newest message that has come: a reconnect continues from it.
 * `since` is the place of the newest message that the handlers finished. An unfinished SNAPSHOT has no place.
 */
class Following {
  number = ++subscriptions;
  joined = false;
  expects = false; // the answer to SUBSCRIBE_TRAIN or its SNAPSHOT is to come
  renews = false; // a SNAPSHOT for `state` alone is to come
  state = null; // never changed in place
  #stateSeq = null; // null: `state` needs a SNAPSHOT
  #isWanted; // the app reads `state`, so it is worth a SNAPSHOT of its own
  tries = 0;
  refusal = null; // the code that the app was told
  #inbox = []; // messages that wait for an async handler
  #held = []; // events that came before the expected SNAPSHOT
  #busy = false;
  #behind = false;
  #ended = false;

  constructor({ trainNo, startDate, since }, handlers) {
    Object.assign(this, { trainNo: String(trainNo), startDate, since, last: since, handlers });
    this.undated = startDate == null; // the app named no date, so the hub tells when the next run takes over
    this.ready = new Promise((succeed, fail) => Object.assign(this, { succeed, fail }));
    this.ready.catch(() => {}); // handlers.error gets the error too
    this.#isWanted = Boolean(handlers.state);
  }

  join(answer) {
    // From here on this follows that run, also when the train's next run is in service.
    Object.assign(this, runOf(answer), { joined: true, tries: 0, refusal: null });
    this.expects = answer.recovered === false;
    if (!this.expects) this.last ??= { epoch: answer.epoch, seq: 0 };
    this.#behind = false;
    this.#held = [];
    if (this.isStale) this.renew();
    this.succeed(answer);
  }

  /** Whether `state` needs a SNAPSHOT, and none is to come. */
  get isStale() { return this.#isWanted && this.joined && !this.expects && this.#stateSeq === null; }

  /** Returns `state` for the app, which wants it from now on. */
  read() {
    const isFirst = !this.#isWanted;
    this.#isWanted = true;
    if (isFirst && this.isStale) this.renew();
    return this.state;
  }

  leave() { this.joined = this.expects = this.renews = false; }

  end(error) {
    this.leave();
    this.#ended = true;
    if (error) this.fail(error);
  }

  /** Drops the messages and the place: another user sees other events. */
  restart() {
    [this.#inbox, this.#held] = [[], []];
    this.since = this.last = undefined;
    this.state = this.#stateSeq = null;
  }

  isOlder({ type, epoch, seq }) {
    return type === 'SNAPSHOT' && this.last !== undefined && epoch === this.last.epoch && seq < this.last.seq;
  }

  /** Receives a message, and drops it if it is not new. */
  take(message) {
    const { type, seq, epoch } = message;
    if (seq === undefined) { // figures: only the newest count
      if (type === 'BOARDING_UPDATE' && this.state) this.#show(withFigures(this.state, message.data));
      this.#inbox = this.#inbox.filter((each) => each.message.type !== type);
      this.#put({ message });
      return;
    }
    if (type === 'SNAPSHOT') {
      const forStateAlone = this.renews && !this.expects;
      this.expects = this.renews = false;
      this.#stateSeq = seq;
      this.#show(message.run);
      if (forStateAlone) return;
    } else if (this.expects) {
      if (this.#held.length >= MOST_UNREAD) throw new Error('events come, and not the SNAPSHOT before them');
      this.#held.push(message);
      return;
    } else if (!(seq > this.last.seq)) {
      return;
    }
    this.#fold(message);
    this.#behind ||= this.#inbox.length >= MOST_UNREAD; // messages that do not fit are asked for again when there is room
    if (this.#behind) return;
    this.last = { epoch: type === 'SNAPSHOT' ? epoch : this.last.epoch, seq };
    this.#put({ message, place: this.last });
    for (const each of this.#held.splice(0)) this.take(each);
  }

  /** Brings `state` up to date, or asks for a SNAPSHOT if the event does not tell all that has changed. */
  #fold(message) {
    if (this.#stateSeq === null || !(message.seq > this.#stateSeq)) return;
    const run = fold(this.state, message);
    this.#stateSeq = run && message.seq;
    if (!run && this.isStale) this.renew();
    if (!run) return;
    this.#show(run);
    if (this.handlers.state && !this.#handlersOf(message).some(Boolean)) this.handed(message);
  }

  #show(run) {
    this.state = run;
    this.call(this.handlers.state, run);
  }

  #put(item) {
    this.#inbox.push(item);
    this.#drain();
  }

  /** Gives the messages to their handlers, one after the other. */
  #drain() {
    while (!this.#busy && this.#inbox.length && !this.#ended) {
      const { message, place } = this.#inbox.shift();
      const accepted = () => { if (place && this.last) this.since = place; };
      const handlers = this.#handlersOf(message).filter(Boolean);
      const waits = handlers.map((each) => this.call(each, message)).filter(Boolean);
      if (handlers.length) this.handed(message);
      if (waits.length) {
        this.#busy = true;
        Promise.all(waits).then(() => {
          this.#busy = false;
          accepted();
          this.#drain();
        });
      } else {
        accepted();
      }
    }
    if (this.#behind && this.joined && !this.#inbox.length && !this.#busy) {
      this.leave(); // messages before the hub's answer come again after it
      this.caughtUp();
    }
  }

  #handlersOf({ type, seq }) {
    const { handlers } = this;
    if (type === 'SNAPSHOT') return [handlers.snapshot];
    if (type === 'NEXT_RUN') return [handlers.nextRun];
    return seq === undefined ? [handlers.figures] : [handlers.event, handlers[type]];
  }
}

/** The commands that wait for an answer, oldest first. Each is one item in the storage. */
class CommandQueue {
  #entries = []; #storage; #prefix; #most; #complain;
  #last = 0;

  constructor(storage, prefix, most, complain) {
    [this.#storage, this.#prefix, this.#most, this.#complain] = [storage, prefix, most, complain];
    if (storage) this.#restore();
  }

  list() {
    return this.#entries.map(({ message: { type, key, ...fields }, user, askedAt, answer }) =>
      ({ type, key, fields, user, askedAt: new Date(askedAt), answer }));
  }

  add(message, login, withinMs) {
    if (sizeOf(message) > MOST_BYTES) throw new HubError('BAD_MESSAGE', 'the message has more than 64 KB: send several');
    if (this.#entries.length >= this.#most) {
      const full = `${this.#most} commands wait for the hub: wait until some are answered`;
      throw new HubError('QUEUE_FULL', full);
    }
    this.#last = Math.max(Date.now(), this.#last + 1); // always rises, so it gives the order
    const entry = { message, user: login.user, login, askedAt: this.#last, until: this.#last + withinMs };
    this.#put(entry, withinMs);
    this.#keep(entry);
    return entry.answer;
  }

  /** Returns the next command of a user, or of a login if `user` is null. `at` is the hub's time. */
  next(user, login, at) {
    const isMine = (entry) => entry.user === user && (user !== null || entry.login === login);
    let entry;
    // A command could happen twice if it reached the hub before and its key has expired there. The entry's own timer is
    // not enough: timers stop while a machine sleeps.
    while ((entry = this.#entries.find(isMine)) && at - entry.sentAt > KEPT_MS) this.fail(entry, lapsedError());
    if (!entry) return null;
    entry.sentAt ??= at;
    return entry;
  }

  /** Returns the keys of the commands that are not sent as this user. */
  others(user, login) {
    const others = this.#entries.filter((each) => each.user !== user || (user === null && each.login !== login));
    return others.map((each) => each.message.key);
  }

  /** Gives the commands of a login its user, which is known now. */
  name(login) {
    for (const entry of this.#entries) {
      if (entry.login === login && entry.user === null) this.#give(entry, login.user);
    }
  }

  claim(key, user) {
    const entry = this.#find(key);
    if (entry.user !== null && entry.user !== user) throw new HubError('FORBIDDEN', 'another user sent this command: identify as that user');
    this.#give(entry, user);
  }

  discard(key) { this.fail(this.#find(key), new HubError('DISCARDED', 'the app discarded this command')); }

  succeed(entry, result) { if (this.#drop(entry)) entry.resolve(result); }

  fail(entry, error) { if (this.#drop(entry)) entry.reject(error); }

  close() {
    for (const entry of this.#entries.splice(0)) {
      clearTimeout(entry.timer);
      entry.reject(closedError());
    }
  }

  #find(key) {
    const found = this.#entries.find((each) => each.message.key === key);
    if (!found) throw new HubError('UNKNOWN_COMMAND', 'no command waits with this key: see `waiting`');
    return found;
  }

  #give(entry, user) {
    entry.user = user;
    this.#keep(entry);
  }

  #put(entry, withinMs) {
    entry.answer = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
    entry.answer.catch(() => {}); // no caller awaits a command from before a reload
    entry.size = sizeOf(entry.message);
    entry.timer = setTimeout(() => this.fail(entry, lapsedError()), withinMs);
    this.#entries.push(entry);
  }

  #drop(entry) {
    const place = this.#entries.indexOf(entry);
    if (place < 0) return false;
    this.#entries.splice(place, 1);
    clearTimeout(entry.timer);
    this.#store(() => this.#storage?.removeItem(this.#prefix + entry.message.key));
    return true;
  }

  #keep({ message, user, askedAt, until }) {
    this.#store(() => this.#storage?.setItem(this.#prefix + message.key, JSON.stringify({ message, user, askedAt, until })));
  }

  /** Changes the storage. If that fails, commands go on, but a reload loses them. */
  #store(change) {
    try {
      change();
    } catch (error) {
      this.#complain(new HubError('NOT_STORED', `the storage does not work, so a reload loses commands: ${error.message}`, {}, false));
    }
  }

  #restore() {
    const kept = [];
    this.#store(() => {
      const names = Array.from({ length: this.#storage.length }, (_, place) => this.#storage.key(place));
      for (const name of names.filter((each) => each.startsWith(this.#prefix))) kept.push(entryOf(this.#storage.getItem(name)));
    });
    for (const entry of kept.filter(Boolean).sort((a, b) => a.askedAt - b.askedAt)) {
      this.#last = Math.max(this.#last, entry.askedAt);
      // The clock may have been set back: a command never waits longer than it first was to.
      const left = Math.min(entry.until - Date.now(), entry.until - entry.askedAt, KEPT_MS);
      this.#put(entry, left);
    }
  }
}

/** Reads a stored command. Null means that the text is not one. */
function entryOf(text) {
  try {
    const { message, user, askedAt, until } = JSON.parse(text);
    const sound = typeof message.type === 'string' && typeof message.key === 'string' && Number.isFinite(askedAt)
      && Number.isFinite(until) && (user === null || typeof user === 'string');
    return sound ? { message, user, askedAt, until } : null;
  } catch {
    return null;
  }
}

/** Returns a token's user, or null if it has none. Only the hub checks the signature. */
function subjectOf(token) {
  try {
    const text = atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'));
    const { sub } = JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (each) => each.charCodeAt(0))));
    return typeof sub === 'string' ? sub : null;
  } catch {
    return null;
  }
}

const runOf = ({ trainNo, startDate }) => ({ trainNo, startDate });
const isOf = (a, b) => a.trainNo === b.trainNo && a.startDate === b.startDate;
const errorOf = ({ code, message, details }) => new HubError(code, message, details);
const closedError = () => new HubError('CLOSED', 'this client was closed');
const lapsedError = () => new HubError('LAPSED', 'the hub did not answer in time: this command may or may not have happened');
const sizeOf = (message) => new TextEncoder().encode(JSON.stringify(message)).length;
const pause = (retryAfterMs = 0, backoffMs = 0) => Math.min(retryAfterMs, LONGEST_TIMER_MS) + backoffMs * (0.5 + Math.random());

/** Reports a handler's error as the platform reports uncaught errors; the client goes on. */
function report(error) {
  if (globalThis.reportError) globalThis.reportError(error);
  else console.error('a handler of trainhub.js failed:', error);
}

/** Makes a key. randomUUID exists on secure pages only, and a station's hub may use plain HTTP. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

module.exports = { VERSION, HubError, connect };
