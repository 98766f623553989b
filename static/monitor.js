/**
 * The monitor page. It asks the hub for its figures each second. When a run's row is opened, it
 * follows the run's events over a WebSocket: the public ones, or with a token of staff all of them.
 * The token comes by the address's fragment, #token=…&run=…, and leaves the address at once. This file has the wording of figures,
 * monitor.html the structure, monitor.css the looks. Text enters the page by textContent only.
 */

import { connect } from './trainhub.js';

const POLL_MS = 1000;
const HIDDEN_POLL_MS = 10_000;
const TIMEOUT_MS = 5000;
const PAGE = 100; // rows drawn at a time, so that a phone scrolls smoothly
const SETTLE_MS = 5000; // the order stays for this long, so that no row moves away under a pointer
const EVENTS_KEPT = 200;
const LOOK_BACK = 400; // events, most of them not public; well under what the hub's history.py keeps of a run
const HALF_A_DAY_MS = 12 * 3_600_000; // nearer than this, a time of day needs no date

const STATUS = { RUNNING: 'Running', SCHEDULED: 'Scheduled', COMPLETED: 'Completed', CANCELLED: 'Cancelled' };
const EVENT = {
  TRAIN_REGISTERED: 'Chart loaded', JOURNEY_STARTED: 'Journey started', JOURNEY_COMPLETED: 'Journey completed',
  TRAIN_CANCELLED: 'Train cancelled', STATION_ARRIVAL: 'Arrived at', STATION_DEPARTURE: 'Left',
  STATION_SKIPPED: 'Not stopping at', DELAY_UPDATE: 'Delay changed', PLATFORM_CHANGE: 'Platform changed',
  ANNOUNCEMENT: 'Announcement',
  // For staff only.
  PASSENGER_BOARDED: 'Aboard', PASSENGER_ALIGHTED: 'Alighted', PASSENGER_CANCELLED: 'Journey cancelled',
  BOARDING_CHANGED: 'Boards elsewhere', NO_SHOW: 'Not turned up', NO_SHOW_UNDONE: 'Turned up after all',
  BERTH_VACATED: 'Berth vacant', UPGRADE_PENDING: 'Berth offered', UPGRADE_DELIVERED: 'Offer delivered',
  UPGRADE_CONFIRMED: 'Upgraded', UPGRADE_CLOSED: 'Offer closed',
};

// --- the page's places ---

const places = (root) => Object.fromEntries([...root.querySelectorAll('[data-is]')].map((el) => [el.dataset.is, el]));
const copy = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);
const ui = places(document);
const field = ui.tools.elements;

/** Writes only changes: most of a thousand trains are the same a second later. */
function put(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

function mark(el, key, value) {
  if (el.dataset[key] !== value) el.dataset[key] = value;
}

function write(root, texts) {
  for (const [key, text] of Object.entries(texts)) if (root[key]) put(root[key], text);
}

function fill(bar, value, most) {
  const max = most || 1; // a <progress> refuses 0
  if (bar.value !== value || bar.max !== max) Object.assign(bar, { max, value });
}

// --- the token ---

const given = new URLSearchParams(location.hash.slice(1));
const token = given.get('token') ?? sessionStorage.getItem('trainhub.staff');

function keepToken() {
  if (!token) return;
  sessionStorage.setItem('trainhub.staff', token);
  put(ui.eventsTitle, 'Events');
  if (given.has('token')) history.replaceState(null, '', location.pathname + location.search);
}

// --- figures in words ---

const grouped = new Intl.NumberFormat('en');
const dayFormat = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' });
const number = (n) => (n == null ? '–' : grouped.format(n));
const amount = (n, word) => `${number(n)}\u00a0${word}`; // a figure and its word stay on one line
const count = (n, word) => amount(n, n === 1 ? word : `${word}s`);
const join = (...parts) => parts.filter(Boolean).join(' · ');
const day = (iso) => dayFormat.format(new Date(`${iso.slice(0, 10)}T00:00Z`)).replace(' ', '\u00a0');
const zone = (iso) => /(Z|[+-]\d\d:\d\d)$/.exec(iso)?.[0] ?? '';
const name = (station) => station?.name ?? station?.code ?? '';

/** The time of day of an ISO text, in the train's zone: the browser's zone may differ. */
function clock(iso) {
  const near = Math.abs(Date.parse(iso) - Date.parse(hub.hubTime)) < HALF_A_DAY_MS;
  const date = near || iso.slice(0, 10) === hub.hubTime.slice(0, 10) ? '' : `${day(iso)} `;
  return date + iso.slice(11, 16) + (zone(iso) === zone(hub.hubTime) ? '' : ` ${zone(iso)}`);
}

/** The same moment in the hub's zone, for an event that has only a UTC timestamp. */
function inHubZone(iso) {
  const ahead = Date.parse(`${hub.hubTime.slice(0, 19)}Z`) - Date.parse(hub.hubTime);
  return new Date(Date.parse(iso) + ahead).toISOString().slice(0, 19) + zone(hub.hubTime);
}

function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const [min, h, d] = [60, 3600, 86_400].map((unit) => Math.floor(s / unit));
  if (d) return `${d} d ${h % 24} h`;
  if (h) return `${h} h ${min % 60} min`;
  return min ? `${min} min` : `${s} s`;
}

function putDelay(el, minutes) {
  const words = minutes ? `${number(Math.abs(minutes))} min ${minutes > 0 ? 'late' : 'early'}` : 'on time';
  put(el, minutes == null ? '' : words);
  mark(el, 'late', minutes >= 15 ? 'very' : minutes > 0 ? 'yes' : 'no');
}

function whereWords({ status, departed, station, next }) {
  const ahead = status === 'RUNNING' || status === 'SCHEDULED' ? next : null;
  const due = ahead?.expected ? clock(ahead.expected) : '';
  if (departed && ahead) return { where: `${name(station)} →`, next: name(ahead), due };
  const where = `${status === 'COMPLETED' ? 'arrived at' : 'at'} ${name(station)}`;
  return { where, next: ahead ? `next ${name(ahead)}` : '', due };
}

// --- asking the hub ---

let hub = null; // the newest answer
let asking = false;
let answered = performance.now();
let trouble = null;
let nextPoll = 0;

async function ask() {
  const response = await fetch('api/monitor', { cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (response.ok) return response.json();
  trouble = `the hub answers ${response.status}`;
  return null;
}

async function poll() {
  if (asking) return;
  asking = true;
  clearTimeout(nextPoll);
  const began = performance.now();
  const answer = await ask().catch(() => { trouble = 'no answer'; });
  const rest = (document.hidden ? HIDDEN_POLL_MS : POLL_MS) - (performance.now() - began);
  nextPoll = setTimeout(poll, Math.max(rest, POLL_MS / 4));
  asking = false;
  if (answer) show(answer);
  showLink();
}

function show(answer) {
  // A wall screen stays open for weeks: after an upgrade of the hub it needs the new page.
  if (hub && hub.version !== answer.version) return location.reload();
  [hub, trouble, answered] = [answer, null, performance.now()];
  for (const part of [showHead, showTiles, showTrains, showDetails]) part();
  if (given.has('run')) pick(given.get('run'));
  given.delete('run');
}

function showLink() {
  const before = document.body.dataset.link;
  const link = trouble ? 'lost' : hub ? 'live' : 'waiting';
  const lost = `${trouble} for ${span((performance.now() - answered) / 1000)}, trying again`;
  put(ui.link, { lost, live: 'live', waiting: 'connecting…' }[link]);
  if (link === before) return;
  document.body.dataset.link = link;
  document.title = link === 'lost' ? 'No answer · trainhub' : 'trainhub';
  // A screen reader reads the text only when its state changes, not each second.
  if (link === 'lost') put(ui.linkNews, 'The hub does not answer.');
  else if (before === 'lost') put(ui.linkNews, 'The hub answers again.');
  // After a lost network a socket may look open and be dead.
  if (before === 'lost') picked?.client.check();
}

// --- header and tiles ---

function showHead() {
  const { version, uptimeSeconds, hubTime, demo } = hub;
  write(ui, { version, uptime: `up ${span(uptimeSeconds)}` });
  write(ui, { today: day(hubTime), clock: hubTime.slice(11, 19), zone: zone(hubTime) });
  ui.demo.hidden = !demo;
}

function showTiles() {
  const { trains, notifications: queue, writeBuffer: buffer, journal } = hub;
  const having = (status) => trains.filter((train) => train.status === status).length;
  const behind = (n) => n > 0 && `${count(n, 'record')} behind`;
  write(ui, {
    running: number(having('RUNNING')),
    otherTrains: join(amount(having('SCHEDULED'), 'scheduled'), amount(having('COMPLETED'), 'completed'),
      having('CANCELLED') && amount(having('CANCELLED'), 'cancelled')),
    open: number(hub.sockets),
    rooms: `following ${count(trains.filter((train) => train.sockets.total).length, 'train')}`,
    queueNote: join(amount(queue.sent, 'sent'), amount(queue.failed, 'failed'), amount(queue.retried, 'retried'),
      queue.setAside && amount(queue.setAside, 'set aside'), behind(queue.behind),
      ...Object.entries(queue.channels).map(([channel, { lastError, depth }]) =>
        depth && lastError && `${channel}: ${lastError}`)),
    bufferNote: join(flushWords(buffer), behind(buffer.behind), buffer.refused && amount(buffer.refused, 'refused')),
    records: number(journal.records),
    commit: `last commit ${amount(journal.lastCommitMillis, 'ms')}`,
    warning: `Writing to the database fails: ${buffer.failing}`,
  });
  ui.warning.hidden = !buffer.failing;
  showDepth('queue', queue);
  showDepth('buffer', buffer);
}

function showDepth(tile, { depth, capacity, failing }) {
  write(ui, { [`${tile}Depth`]: number(depth), [`${tile}Room`]: `of ${number(capacity)}` });
  fill(ui[`${tile}Bar`], depth, capacity);
  mark(ui[tile], 'state', failing ? 'failing' : depth >= capacity * 0.8 ? 'filling' : 'well');
}

function flushWords({ lastFlush }) {
  if (!lastFlush) return 'no flush yet';
  const ago = (Date.parse(hub.serverTime) - Date.parse(lastFlush.at)) / 1000;
  return join(`flushed ${span(ago)} ago`, count(lastFlush.documents, 'document'), amount(lastFlush.millis, 'ms'));
}

// --- the list of trains ---

const rows = new Map(); // run → its row and the row's places, for the rows drawn
let matching = []; // runs, in order
let limit = PAGE;
let settled = -Infinity;

const rank = Object.keys(STATUS);
const SORT = {
  number: (a, b) => (a.run < b.run ? -1 : 1),
  status: (a, b) => rank.indexOf(a.status) - rank.indexOf(b.status),
  delay: (a, b) => (a.delayMinutes ?? 0) - (b.delayMinutes ?? 0),
  sockets: (a, b) => a.sockets.total - b.sockets.total,
};

function sorting() {
  const falling = field.sort.value.startsWith('-');
  return { key: field.sort.value.replace('-', ''), falling, sign: falling ? -1 : 1 };
}

function arrange() {
  const { key, sign } = sorting();
  const sought = field.q.value.trim().toLowerCase();
  const text = ({ trainNo, trainName, station, next }) =>
    [trainNo, trainName, station?.code, name(station), next?.code, name(next)].join('\n').toLowerCase();
  matching = hub.trains
    .filter((train) => (!field.status.value || train.status === field.status.value) && text(train).includes(sought))
    .sort((a, b) => sign * SORT[key](a, b) || SORT.number(a, b))
    .map((train) => train.run);
  settled = performance.now();
}

function showTrains() {
  const trains = new Map(hub.trains.map((train) => [train.run, train]));
  if (performance.now() - settled > SETTLE_MS || matching.some((run) => !trains.has(run))) arrange();
  const drawn = new Set(matching.slice(0, limit));
  for (const [run, row] of rows) if (!drawn.has(run)) { row.el.remove(); rows.delete(run); }
  const focused = document.activeElement;
  let here = ui.rows.firstElementChild;
  for (const run of drawn) {
    const el = showRow(trains.get(run));
    if (el === here) here = here.nextElementSibling;
    else ui.rows.insertBefore(el, here);
  }
  if (ui.rows.contains(focused)) focused.focus({ preventScroll: true }); // lost where its row was moved
  showAmounts();
}

function showAmounts() {
  const [all, found] = [hub.trains.length, matching.length];
  put(ui.count, found === all ? number(all) : `${number(found)} of ${number(all)}`);
  put(ui.more, `Show ${number(Math.min(PAGE, found - limit))} more of ${number(found)}`);
  ui.more.hidden = found <= limit;
  ui.table.hidden = !found;
  ui.noMatch.hidden = !all || found > 0;
  ui.tools.hidden = !all;
  ui.empty.hidden = all > 0;
}

function newRow(run) {
  const el = copy('train');
  const row = { el, ...places(el) };
  rows.set(run, row);
  el.dataset.run = run;
  return row;
}

function showRow(train) {
  const row = rows.get(train.run) ?? newRow(train.run);
  showTrain(row, train);
  mark(row.el, 'status', train.status);
  mark(row.el, 'picked', String(train.run === picked?.run));
  return row.el;
}

/** Shows a train's figures, in its row or in the details, as far as these have a place for them. */
function showTrain(place, train) {
  const { status, stations, index, departed, next, booked, aboard, noShow, sockets } = train;
  const { total, passengers, ttes, admins, others } = sockets;
  write(place, {
    number: train.trainNo, name: train.trainName, date: day(train.startDate), status: STATUS[status] ?? status,
    ...whereWords(train), along: `${index + 1} of ${stations}`,
    aboard: `${number(aboard)} of ${number(booked)}`, nt: amount(noShow, 'NT'),
    sockets: number(total), socketWord: total === 1 ? 'socket' : 'sockets',
    roleFigures: total ? `${passengers} / ${ttes} / ${admins}` : '',
    roles: join(passengers && count(passengers, 'passenger'), ttes && count(ttes, 'TTE'),
      admins && amount(admins, 'control'), others && count(others, 'other')),
  });
  fill(place.bar, index + (departed && next ? 0.5 : 0), stations - 1);
  putDelay(place.delay, status === 'CANCELLED' ? null : train.delayMinutes);
}

function choose() {
  const { key, falling } = sorting();
  for (const { dataset, parentElement: head } of ui.head.querySelectorAll('[data-sort]')) {
    head.ariaSort = dataset.sort !== key ? null : falling ? 'descending' : 'ascending';
  }
  limit = PAGE;
  settled = -Infinity;
  if (hub) showTrains();
  // The address keeps it, for a reload of the page and for a wall screen's bookmark.
  const chosen = [...new FormData(ui.tools)].filter(([, value]) => value);
  history.replaceState(null, '', `?${new URLSearchParams(chosen)}`);
}

function sortBy(key) {
  const first = key === 'delay' || key === 'sockets' ? `-${key}` : key; // people look for the largest
  const second = first === key ? `-${key}` : key;
  field.sort.value = field.sort.value === first ? second : first;
  choose();
}

// --- one run's details ---

let picked = null; // the Follower of the run shown
const panel = places(ui.details);
const wide = matchMedia('(min-width: 75rem)'); // the details fit next to the list; else they open over it

const FOLLOWING = { connecting: 'connecting…', waiting: 'not connected, trying again' };

/** Keeps one socket in one run's room, and lists the run's public events. */
class Follower {
  constructor({ run, trainNo, startDate, seq }) {
    // `since` is a little way back, so that the list does not begin empty.
    const since = { epoch: hub.epoch, seq: Math.max(0, seq - LOOK_BACK) };
    Object.assign(this, { run, epoch: hub.epoch });
    this.client = connect('ws', { ...(token && { token }), onState: (state) => state in FOLLOWING && put(ui.follow, FOLLOWING[state]) });
    this.client.subscribe({ trainNo, startDate, since }, {
      event: (event) => event.type in EVENT && listEvent(event),
      subscribed: (answer) => this.subscribed(answer),
      snapshot: missing,
      figures: ({ data }) => showClasses(data.classes ?? []),
      error: ({ message }) => put(ui.follow, message),
    });
  }

  subscribed({ epoch }) {
    if (epoch !== this.epoch) ui.events.replaceChildren(); // the numbers of events began again
    this.epoch = epoch;
    put(ui.follow, 'live');
  }

  leave() { this.client.close(); }
}

function listEvent(event) {
  ui.events.prepend(eventLine(event));
  while (ui.events.childElementCount > EVENTS_KEPT) ui.events.lastElementChild.remove();
}

function missing() {
  if (ui.events.firstChild) ui.events.prepend(eventLine({ type: 'Away for a while: some events are missing here' }));
}

function eventLine({ type, timestamp, data = {} }) {
  const line = copy('event');
  const place = places(line);
  const at = data.actual ?? (timestamp && inHubZone(timestamp));
  const berth = data.coach && `${data.coach}-${data.berth}`;
  const extra = join(data.name, berth, data.outcome, data.platform && `platform ${data.platform}`, data.text);
  write(place, { time: at ? clock(at) : '', what: EVENT[type] ?? type, station: name(data.station), extra });
  putDelay(place.delay, data.delayMinutes);
  return line;
}

function showClasses(classes) {
  ui.classes.hidden = !classes.length;
  ui.classRows.replaceChildren(...classes.map((each) => {
    const row = document.createElement('tr');
    const figures = [each.booked, each.aboard, each.nt, each.vacant].map(number);
    for (const text of [each.class, ...figures]) row.insertCell().textContent = text;
    return row;
  }));
}

const trainOf = (run) => hub.trains.find((train) => train.run === run);

function pick(run) {
  if (picked?.run === run || !trainOf(run)) return;
  picked?.leave();
  ui.events.replaceChildren();
  showClasses([]);
  picked = new Follower(trainOf(run));
  showDetails();
  openDetails();
  showTrains();
}

function openDetails() {
  if (ui.details.open) return;
  if (wide.matches) ui.details.show();
  else ui.details.showModal();
}

function closed() {
  if (ui.details.open) return; // the details only moved, from next to the list to over it or back
  picked?.leave();
  picked = null;
  showTrains();
}

function showDetails() {
  const train = picked && trainOf(picked.run);
  if (train) showTrain(panel, train);
}

// --- start ---

function recall() {
  const asked = new URLSearchParams(location.search);
  for (const key of ['q', 'status', 'sort']) if (asked.has(key)) field[key].value = asked.get(key);
  for (const select of [field.status, field.sort]) if (select.selectedIndex < 0) select.selectedIndex = 0;
}

ui.tools.addEventListener('input', choose);
ui.tools.addEventListener('submit', (event) => event.preventDefault());
ui.clear.addEventListener('click', () => { field.q.value = field.status.value = ''; choose(); });
ui.more.addEventListener('click', () => { limit += PAGE; showTrains(); });
ui.head.addEventListener('click', ({ target }) => target.dataset.sort && sortBy(target.dataset.sort));
ui.rows.addEventListener('click', ({ target }) => pick(target.closest('tr')?.dataset.run));
ui.close.addEventListener('click', () => ui.details.close());
ui.details.addEventListener('click', ({ target }) => target === ui.details && ui.details.close());
ui.details.addEventListener('close', closed);
document.addEventListener('keydown', ({ key, target }) => key === 'Escape' && target !== field.q && ui.details.close());
document.addEventListener('visibilitychange', () => document.hidden || poll());
wide.addEventListener('change', () => { if (ui.details.open) { ui.details.close(); openDetails(); } });

put(ui.origin, location.origin);
keepToken();
recall();
choose();
poll();
setInterval(showLink, 1000);
