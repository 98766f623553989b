/*
 * One run: its figures and its events as they happen, the public ones, or with a token of staff all
 * of them. The details stand next to the list where there is room, and else over it.
 */

import { adjust, shows, token } from './address.js';
import { copy, places, put, ui, write } from './elements.js';
import { showTrain, showTrains } from './fleet.js';
import { drawTabs, heard, showTab, startTabs } from './run_tabs.js';
import { connect } from './trainhub.js';
import { clock, codeWords, hub, inHubZone, isListed, join, name, number, putDelay, say, tell, trainOf } from './wording.js';

const EVENTS_KEPT = 200;
const MISSING = 'MISSING'; // shown like an event
const LOOK_BACK = 400; // events, most of them not public; well under what the hub's history.py keeps of a run

let picked = null; // the Follower of the run shown
const lines = new WeakMap(); // the line of an event → the event
let opener = null; // what had the focus before the details opened
const panel = places(ui.details);
const wide = matchMedia('(min-width: 75rem)'); // the details fit next to the list; else they open over it

const FOLLOWING = ['connecting', 'waiting']; // the states of the socket that are told

/** Keeps one socket in one run's room, and lists the run's events. */
class Follower {
  constructor({ run, trainNo, startDate, seq }) {
    // `since` is a little way back, so that the list does not begin empty.
    const since = { epoch: hub.epoch, seq: Math.max(0, seq - LOOK_BACK) };
    Object.assign(this, { run, epoch: hub.epoch });
    this.client = connect('ws', { ...(token && { token }), onState: (state) => FOLLOWING.includes(state) && tell(ui.follow, `follow.${state}`) });
    this.client.subscribe({ trainNo, startDate, since }, {
      event: (event) => { heard(event); if (isListed(event.type)) listEvent(event); },
      subscribed: (answer) => this.subscribed(answer),
      snapshot: missing,
      figures: ({ data }) => showClasses(data.classes ?? []),
      error: ({ message }) => tell(ui.follow, 'hub.says', { reason: message }),
    });
  }

  subscribed({ epoch }) {
    if (epoch !== this.epoch) ui.events.replaceChildren(); // the numbers of events began again
    this.epoch = epoch;
    tell(ui.follow, 'follow.live');
    heard(null);
  }

  leave() { this.client.close(); }
}

function listEvent(event) {
  ui.events.prepend(eventLine(event));
  while (ui.events.childElementCount > EVENTS_KEPT) ui.events.lastElementChild.remove();
}

function missing() {
  if (ui.events.firstChild) ui.events.prepend(eventLine({ type: MISSING }));
}

function eventLine(event) {
  const el = copy('event');
  lines.set(el, event);
  showEvent(el, event);
  return el;
}

function showEvent(el, { type, timestamp, data = {} }) {
  const place = places(el);
  const at = data.actual ?? (timestamp && inHubZone(timestamp));
  const berth = data.coach && `${data.coach}-${data.berth}`;
  const extra = join(data.name, berth, data.outcome && codeWords(data.outcome), data.platform && say('event.platform', data), data.text);
  write(place, { time: at ? clock(at) : '', what: say(`event.${type}`), station: name(data.station), extra });
  putDelay(place.delay, data.delayMinutes);
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

/** Shows the run that the address names, as soon as the hub has it. */
export function showPicked() {
  const train = trainOf(shows('run'));
  if (!train) return close();
  if (picked?.run !== train.run) pick(train);
  showTrain(panel, train);
  showTab(picked, train);
}

function pick(train) {
  picked?.leave();
  ui.events.replaceChildren();
  showClasses([]);
  tell(ui.done, '');
  picked = new Follower(train);
  open();
  showTrains();
}

function open() {
  if (ui.details.open) return;
  opener = document.activeElement;
  if (wide.matches) ui.details.show();
  else ui.details.showModal();
}

function close() {
  if (!picked) return;
  picked.leave();
  picked = null;
  ui.details.close();
  opener?.focus({ preventScroll: true });
}

/** Shows the run again, in another language. */
export function drawDetails() {
  for (const el of ui.events.children) showEvent(el, lines.get(el));
  drawTabs();
}

/** Checks the run's socket: after a lost network it may look open and be dead. */
export function checkPicked() { picked?.client.check(); }

const leave = () => adjust({ run: null, tab: null, coach: null, person: null });

export function startDetails() {
  tell(ui.eventsTitle, token ? 'tab.events' : 'events.public');
  startTabs();
  ui.close.addEventListener('click', leave);
  ui.details.addEventListener('click', ({ target }) => target === ui.details && leave());
  ui.details.addEventListener('cancel', (event) => { event.preventDefault(); leave(); });
  document.addEventListener('keydown', ({ key, target }) => key === 'Escape' && picked && !ui.sure.open && target !== ui.tools.elements.q && leave());
  wide.addEventListener('change', () => { if (ui.details.open) { ui.details.close(); open(); } });
}
