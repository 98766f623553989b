/**
 * A client of trainhub's live protocol, for browsers and for Node: one file, nothing to build.
 *
 * However often the socket breaks, each event of a train comes once and in order, and each command
 * happens once: what was asked is kept, in a `storage` also over a reload of the page, and asked
 * again under its idempotency key. docs/clients.md shows how to use it, trainhub.d.ts has the types.
 */

const HOUR_MS = 3_600_000;
// The hub keeps a key's answer for 24 hours; what is older could happen twice.
const KEPT_MS = 23.5 * HOUR_MS;
const MOST_BYTES = 64 * 1024 - 100; // of one message, less its id
const TIMING = {
  backoffFirstMs: 1000,
  backoffMostMs: 30_000,
  steadyMs: 10_000, // a connection that lived so long was a good one: the backoff begins anew
  answerMs: 15_000, // a hub that is silent for so long, when it was asked, is gone
};
const TOKEN_REFUSED = 4403;
// The hub would take these later: they are asked again, and nobody is told.
const LATER = new Set(['UNAVAILABLE', 'RATE_LIMITED']);

/** What the hub refused, or why a command was given up; `details` as the protocol has them. */
export class HubError extends Error {
  constructor(code, message, details = {}) {
    super(message);
    Object.assign(this, { name: 'HubError', code, details });
  }
}

/** Opens a client, which connects by itself and stays until `close`. See trainhub.d.ts. */
export const connect = (url, options) => new Client(url, options);

class Client {
  #url; #options; #timing;
  #socket = null;
  #attempt = 0; // what belongs to an older one is void
  #tries = 0;
  #openedAt = 0;
  #notBefore = 0; // as the hub asked in GOODBYE or ERROR
  #heard = false;
  #timers = {};
  #ids = 0;
  #answers = new Map(); // id → who waits for that answer
  #token; #source; #refused;
  #identifying = [];
  #user = null;
  #ready = false; // identified, so that commands may go
  #subscriptions = new Set();
  #queue;
  #asked = null; // one command at a time, so that they stay in order whatever happens
  #online = () => this.#state === 'waiting' && Date.now() >= this.#notBefore && this.#open();
  #state = 'connecting';

  constructor(url, options = {}) {
    const { WebSocket = globalThis.WebSocket, timing, token, storage, storageName = 'trainhub', mostWaiting = 1000 } = options;
    if (!WebSocket) throw new TypeError('there is no WebSocket here: give a class as the option WebSocket');
    const address = new URL(url, globalThis.location?.href);
    address.protocol = address.protocol.replace('http', 'ws');
    this.#url = address.href;
    this.#options = { ...options, WebSocket };
    this.#timing = { ...TIMING, ...timing };
    this.#source = token;
    this.#queue = new Queue(storage, `${storageName}:`, mostWaiting, (error) => this.#call(options.onError, error));
    globalThis.addEventListener?.('online', this.#online);
    queueMicrotask(() => this.#state !== 'closed' && this.#open());
  }

  /** `connecting`, `live`, `waiting` to try again, `refused` for its token, or `closed`. */
  get state() { return this.#state; }

  /** The commands that are not answered yet, in order; with a storage also those from before a reload. */
  get waiting() { return this.#queue.list(); }

  /** Who to be from now on; nobody, without a token. What is shown to whom differs, so each subscription gets a new snapshot. */
  async identify(token) {
    if (this.#state === 'closed') throw closedError();
    if (this.#ready) {
      const found = await (typeof token === 'function' ? token() : token);
      if (this.#ready) return this.#beSomebodyElse(token, found);
    }
    [this.#source, this.#token, this.#refused] = [token, undefined, undefined];
    const identified = new Promise((resolve, reject) => this.#identifying.push({ resolve, reject }));
    if (this.#state !== 'waiting') this.#open();
    return identified;
  }

  /** A train's events, snapshots and figures, from now on and over every reconnect. */
  subscribe(train, handlers = {}) {
    const subscription = new Subscription(this, typeof train === 'object' ? train : { trainNo: train }, handlers);
    this.#subscriptions.add(subscription.own);
    if (this.#ready) this.#join(subscription.own);
    return subscription;
  }

  unsubscribe({ own }) {
    if (!this.#subscriptions.delete(own) || !own.joined) return;
    const { trainNo, startDate } = own;
    const others = [...this.#subscriptions].some((each) => each.joined && isOf(each, own));
    if (!others) this.#send({ type: 'UNSUBSCRIBE_TRAIN', trainNo, startDate });
  }

  /** Asks a command, now or as soon as the hub can be reached. Resolves with its result, once. */
  command(type, fields = {}, { key = newKey(), withinMs = KEPT_MS } = {}) {
    const message = { ...fields, type, key };
    if (this.#state === 'closed') return Promise.reject(closedError());
    if (new TextEncoder().encode(JSON.stringify(message)).length > MOST_BYTES) {
      return Promise.reject(new HubError('BAD_MESSAGE', 'a message has at most 64 KB: take several'));
    }
    const answer = this.#queue.add(message, this.#user, Math.min(withinMs, KEPT_MS));
    this.#pump();
    return answer;
  }

  /** Asks the hub for a sign of life now; without one the socket is given up, and a new one opened. */
  check() {
    if (!this.#socket) return;
    this.#heard = false;
    this.#send({ type: 'PING', id: ++this.#ids });
    this.#after('silence', this.#timing.answerMs, () => this.#heard || this.#lost('the hub does not answer'));
  }

  /** Ends it. Promises that wait are rejected; what a storage holds is asked by the next client. */
  close() {
    if (this.#state === 'closed') return;
    globalThis.removeEventListener?.('online', this.#online);
    this.#detach();
    this.#queue.close();
    for (const { reject } of this.#identifying.splice(0)) reject(closedError());
    this.#tell('closed');
  }

  // --- the connection ---

  async #open() {
    this.#detach();
    const attempt = this.#attempt;
    this.#tell('connecting');
    this.#after('silence', this.#timing.answerMs, () => this.#lost('the hub does not answer'));
    try {
      await this.#findToken();
    } catch {
      if (attempt === this.#attempt) this.#lost('there is no token');
      return;
    }
    if (attempt !== this.#attempt) return;
    if (this.#token !== undefined && this.#token === this.#refused) this.#stop();
    else this.#connect();
  }

  async #findToken() {
    if (this.#token !== undefined && this.#token !== this.#refused) return;
    const [source, attempt] = [this.#source, this.#attempt];
    const found = await (typeof source === 'function' ? source() : source);
    if (attempt === this.#attempt) this.#token = found ?? undefined;
  }

  #connect() {
    const socket = new this.#options.WebSocket(this.#url);
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    socket.onclose = ({ code }) => (code === TOKEN_REFUSED ? this.#refuse() : this.#lost(`closed with ${code}`));
    socket.onerror = () => {}; // its close follows
  }

  #detach() {
    this.#attempt += 1;
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    const socket = this.#socket;
    [this.#socket, this.#ready, this.#asked, this.#timers] = [null, false, null, {}];
    this.#answers.clear();
    for (const each of this.#subscriptions) each.joined = false;
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #lost(reason) {
    const { backoffFirstMs, backoffMostMs, steadyMs } = this.#timing;
    if (this.#openedAt && Date.now() - this.#openedAt > steadyMs) this.#tries = 0;
    this.#openedAt = 0;
    this.#detach();
    const backoff = Math.random() * Math.min(backoffMostMs, backoffFirstMs * 2 ** this.#tries++);
    const retryInMs = Math.max(0, this.#notBefore - Date.now()) + backoff;
    this.#after('retry', retryInMs, () => this.#open());
    this.#tell('waiting', { reason, retryInMs });
  }

  /** A token that was refused is not sent again: a fresh one, or none. */
  #refuse(error = new HubError('BAD_TOKEN', 'the hub refuses this token: give a fresh one')) {
    this.#refused = this.#token;
    if (typeof this.#source === 'function') this.#lost(error.message);
    else this.#stop(error);
  }

  #stop(error = new HubError('BAD_TOKEN', 'the hub refuses this token: give a fresh one')) {
    this.#detach();
    for (const { reject } of this.#identifying.splice(0)) reject(error);
    this.#tell('refused', { reason: error.message });
  }

  #after(name, ms, then) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = setTimeout(then, ms);
  }

  #tell(state, detail = {}) {
    this.#state = state;
    this.#call(this.#options.onState, state, detail);
  }

  /** A handler's own error is reported, and takes nothing with it. */
  #call(handler, ...values) {
    try {
      handler?.(...values);
    } catch (error) {
      if (globalThis.reportError) globalThis.reportError(error);
      else queueMicrotask(() => { throw error; });
    }
  }

  #send(message) {
    // A socket that is closing takes no more; its close event follows.
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(message));
  }

  #ask(message, answered) {
    const id = ++this.#ids;
    this.#answers.set(id, answered);
    this.#send({ ...message, id });
  }

  // --- what the hub says ---

  #hear(message) {
    this.#heard = true;
    const answered = this.#answers.get(message.id);
    this.#answers.delete(message.id);
    if (message.retryAfterMs) this.#notBefore = Date.now() + message.retryAfterMs;
    if (answered) answered(message);
    else if (message.type === 'WELCOME') this.#welcome(message);
    else if (message.trainNo && message.startDate) this.#pass(message);
  }

  #welcome({ heartbeatSeconds }) {
    this.#openedAt = Date.now();
    clearTimeout(this.#timers.silence);
    const beat = () => {
      if (this.#heard) this.#heard = false;
      else this.check();
      this.#after('beat', heartbeatSeconds * 500, beat);
    };
    beat();
    if (this.#token === undefined) this.#enter({});
    else this.#ask({ type: 'IDENTIFY', token: this.#token }, (answer) => this.#identified(answer));
  }

  #identified(answer) {
    if (answer.type !== 'ERROR') this.#enter(answer);
    else if (answer.code === 'BAD_TOKEN') this.#refuse(errorOf(answer));
    else this.#lost(answer.message);
  }

  #enter({ user = null, role = null, trains = [] }) {
    this.#ready = true;
    this.#user = user;
    this.#queue.nameThem(user);
    for (const { resolve } of this.#identifying.splice(0)) resolve({ user, role, trains });
    for (const each of this.#subscriptions) if (!each.joined) this.#join(each);
    this.#tell('live');
    this.#pump();
  }

  #beSomebodyElse(source, token) {
    const before = [this.#source, this.#token];
    [this.#source, this.#token] = [source, token];
    this.#ready = false; // no command goes under a name that is about to change
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject };
      this.#identifying.push(waiter);
      this.#ask(token === undefined ? { type: 'LOGOUT' } : { type: 'IDENTIFY', token }, (answer) => {
        if (answer.type === 'ERROR') {
          this.#identifying = this.#identifying.filter((each) => each !== waiter);
          [this.#source, this.#token] = before; // it goes on as who it was
          this.#ready = true;
          this.#pump();
          reject(errorOf(answer));
        } else {
          this.#enter(answer);
        }
      });
    });
  }

  // --- trains ---

  #join(own) {
    const { trainNo, startDate, since } = own;
    this.#ask({ type: 'SUBSCRIBE_TRAIN', trainNo, startDate, since }, (answer) => {
      if (!this.#subscriptions.has(own)) {
        if (answer.type !== 'ERROR') this.#send({ ...runOf(answer), type: 'UNSUBSCRIBE_TRAIN' });
      } else if (answer.type !== 'ERROR') this.#joined(own, answer);
      else if (LATER.has(answer.code)) this.#after(`join ${own.number}`, this.#pause(answer), () => this.#join(own));
      else {
        this.#subscriptions.delete(own);
        own.fail(errorOf(answer));
        this.#call(own.handlers.error, errorOf(answer));
      }
    });
  }

  #joined(own, answer) {
    // From here on it is that run, also when the train's next one is in service.
    Object.assign(own, runOf(answer), { joined: true });
    own.since ??= { epoch: answer.epoch, seq: 0 };
    own.succeed(answer);
    this.#call(own.handlers.subscribed, answer);
  }

  #pass(message) {
    const { type, seq, epoch } = message;
    let fresh = false;
    for (const own of this.#subscriptions) {
      if (!own.joined || !isOf(own, message)) continue;
      if (type === 'SNAPSHOT') {
        own.since = { epoch, seq };
        this.#call(own.handlers.snapshot, message);
      } else if (seq === undefined) {
        this.#call(own.handlers.figures, message);
      } else if (seq > own.since.seq) {
        own.since = { epoch: own.since.epoch, seq };
        fresh = true;
        this.#call(own.handlers.event, message);
        this.#call(own.handlers[type], message);
      }
    }
    if (fresh && type === 'UPGRADE_OFFER') this.#send({ type: 'ACK', ...runOf(message), seq });
  }

  // --- commands ---

  #pump() {
    if (!this.#ready || this.#asked) return;
    const entry = this.#asked = this.#queue.next(this.#user);
    if (!entry) return;
    this.#ask(entry.message, (answer) => {
      if (answer.type === 'ERROR' && LATER.has(answer.code)) {
        this.#after('pump', this.#pause(answer), () => { this.#asked = null; this.#pump(); });
        return;
      }
      this.#asked = null;
      if (answer.type === 'ERROR') this.#queue.fail(entry, errorOf(answer));
      else this.#queue.succeed(entry, answer.result);
      this.#pump();
    });
  }

  #pause({ retryAfterMs = 0 }) {
    return retryAfterMs + this.#timing.backoffFirstMs * (0.5 + Math.random());
  }
}

let subscriptions = 0;

/** One train that is followed. `own` is what its client keeps of it. */
class Subscription {
  constructor(client, { trainNo, startDate, since }, handlers) {
    this.own = { number: ++subscriptions, trainNo: String(trainNo), startDate, since, handlers, joined: false };
    this.ready = new Promise((succeed, fail) => Object.assign(this.own, { succeed, fail }));
    this.ready.catch(() => {}); // handlers.error is told too
    this.client = client;
  }

  get trainNo() { return this.own.trainNo; }
  get startDate() { return this.own.startDate; }
  /** The last event seen, for a later `subscribe` of the same run. */
  get since() { return this.own.since; }

  /** A command on this very run: also when it is asked again after midnight. */
  command(type, fields = {}, options = {}) {
    return this.client.command(type, { trainNo: this.trainNo, startDate: this.startDate, ...fields }, options);
  }

  unsubscribe() { this.client.unsubscribe(this); }
}

/** The commands that wait for an answer, oldest first; each is an item of its own in the storage. */
class Queue {
  #entries = []; #storage; #prefix; #most; #complain;
  #last = 0;

  constructor(storage, prefix, most, complain) {
    [this.#storage, this.#prefix, this.#most, this.#complain] = [storage, prefix, most, complain];
    if (storage) this.#restore();
  }

  list() {
    return this.#entries.map(({ message: { type, key, ...fields }, askedAt, answer }) =>
      ({ type, key, fields, askedAt: new Date(askedAt), answer }));
  }

  add(message, user, withinMs) {
    if (this.#entries.length >= this.#most) {
      const full = `${this.#most} commands wait for the hub: no more are taken until some are answered`;
      return Promise.reject(new HubError('QUEUE_FULL', full));
    }
    this.#last = Math.max(Date.now(), this.#last + 1); // rises, so that it is their order too
    const entry = { message, user, askedAt: this.#last, until: this.#last + withinMs };
    this.#put(entry);
    this.#keep(entry);
    return entry.answer;
  }

  next(user) {
    return this.#entries.find((entry) => entry.user === user) ?? null;
  }

  /** Commands from before it was known whose they are: now it is. Others' stay until they return. */
  nameThem(user) {
    for (const entry of this.#entries.filter((each) => each.user === null && user !== null)) {
      entry.user = user;
      this.#keep(entry);
    }
  }

  succeed(entry, result) { if (this.#drop(entry)) entry.resolve(result); }

  fail(entry, error) { if (this.#drop(entry)) entry.reject(error); }

  close() {
    for (const entry of this.#entries.splice(0)) {
      clearTimeout(entry.timer);
      entry.reject(closedError());
    }
  }

  #put(entry) {
    entry.answer = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
    entry.answer.catch(() => {}); // one from before a reload has nobody who waits
    const lapsed = 'the hub could not be reached in time: whether this command happened is not known';
    entry.timer = setTimeout(() => this.fail(entry, new HubError('LAPSED', lapsed)), entry.until - Date.now());
    this.#entries.push(entry);
  }

  #drop(entry) {
    const place = this.#entries.indexOf(entry);
    if (place < 0) return false;
    this.#entries.splice(place, 1);
    clearTimeout(entry.timer);
    this.#storage?.removeItem(this.#prefix + entry.message.key);
    return true;
  }

  #keep({ message, user, askedAt, until }) {
    try {
      this.#storage?.setItem(this.#prefix + message.key, JSON.stringify({ message, user, askedAt, until }));
    } catch { // it is full: the command goes on, but would not outlive the page
      this.#complain(new HubError('NOT_STORED', 'the storage takes no more: a reload would lose this command'));
    }
  }

  #restore() {
    const names = Array.from({ length: this.#storage.length }, (_, place) => this.#storage.key(place));
    const kept = names.filter((name) => name.startsWith(this.#prefix)).map((name) => {
      try {
        return JSON.parse(this.#storage.getItem(name));
      } catch {
        return null; // not ours
      }
    });
    for (const entry of kept.filter((each) => each?.message?.key).sort((a, b) => a.askedAt - b.askedAt)) {
      this.#last = Math.max(this.#last, entry.askedAt);
      this.#put(entry);
    }
  }
}

const runOf = ({ trainNo, startDate }) => ({ trainNo, startDate });
const isOf = (a, b) => a.trainNo === b.trainNo && a.startDate === b.startDate;
const errorOf = ({ code, message, details }) => new HubError(code, message, details);
const closedError = () => new HubError('CLOSED', 'this client was closed');

/** randomUUID is for secure pages only, and a station's hub may be on plain HTTP. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
