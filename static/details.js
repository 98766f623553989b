/*
 * One run: its figures and its events as they happen, the public ones, or with a token of staff all
 * of them. The details stand next to the list where there is room, and else over it.
 */

import { adjust, shows, token } from './address.js';
import { copy, places, put, ui, write } from './elements.js';
import { showTrain, showTrains } from './fleet.js';
import { heard, showTab, startTabs } from './run_tabs.js';
import { connect } from './trainhub.js';
import { clock, hub, inHubZone, join, name, number, putDelay, trainOf } from './wording.js';

const EVENTS_KEPT = 200;
const LOOK_BACK = 400; // events, most of them not public; well under what the hub's history.py keeps of a run

const EVENT = {
  TRAIN_REGISTERED: 'Chart loaded', JOURNEY_STARTED: 'Journey started', JOURNEY_COMPLETED: 'Journey completed',
  RUN_CLOSED: 'Closed, for it was never reported to its end', TRAIN_CANCELLED: 'Train cancelled',
  TRAIN_REINSTATED: 'Not cancelled after all', REPORT_UNDONE: 'Report undone at',
  STATION_ARRIVAL: 'Arrived at', STATION_DEPARTURE: 'Left',
  STATION_SKIPPED: 'Not stopping at', SKIP_UNDONE: 'Stopping after all at', SHORT_TERMINATED: 'Ends at',
  HALT_ADDED: 'Stopping also at',
  DELAY_UPDATE: 'Delay changed', PLATFORM_CHANGE: 'Platform changed',
  ANNOUNCEMENT: 'Announcement',
  // For staff only.
  PASSENGER_BOARDED: 'Aboard', PASSENGER_ALIGHTED: 'Alighted', PASSENGER_CANCELLED: 'Journey cancelled',
  BOARDING_CHANGED: 'Boards elsewhere', NO_SHOW: 'Not turned up', NO_SHOW_UNDONE: 'Turned up after all',
  BERTH_VACATED: 'Berth vacant', BERTH_LOST: 'Berth lost', BERTH_ALLOTTED: 'Berth given',
  BERTHS_BLOCKED: 'Berths blocked', BERTHS_UNBLOCKED: 'Berths unblocked', UPGRADE_PENDING: 'Berth offered', UPGRADE_DELIVERED: 'Offer delivered',
  UPGRADE_CONFIRMED: 'Upgraded', UPGRADE_CLOSED: 'Offer closed',
};

let picked = null; // the Follower of the run shown
let opener = null; // what had the focus before the details opened
const panel = places(ui.details);
const wide = matchMedia('(min-width: 75rem)'); // the details fit next to the list; else they open over it

const FOLLOWING = { connecting: 'connecting…', waiting: 'not connected, trying again' };

/** Keeps one socket in one run's room, and lists the run's events. */
class Follower {
  constructor({ run, trainNo, startDate, seq }) {
    // `since` is a little way back, so that the list does not begin empty.
    const since = { epoch: hub.epoch, seq: Math.max(0, seq - LOOK_BACK) };
    Object.assign(this, { run, epoch: hub.epoch });
    this.client = connect('ws', { ...(token && { token }), onState: (state) => state in FOLLOWING && put(ui.follow, FOLLOWING[state]) });
    this.client.subscribe({ trainNo, startDate, since }, {
      event: (event) => { heard(event); if (event.type in EVENT) listEvent(event); },
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
    heard(null);
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
  put(ui.done, '');
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

/** Checks the run's socket: after a lost network it may look open and be dead. */
export function checkPicked() { picked?.client.check(); }

const leave = () => adjust({ run: null, tab: null, coach: null, person: null });

export function startDetails() {
  if (token) put(ui.eventsTitle, 'Events');
  startTabs();
  ui.close.addEventListener('click', leave);
  ui.details.addEventListener('click', ({ target }) => target === ui.details && leave());
  ui.details.addEventListener('cancel', (event) => { event.preventDefault(); leave(); });
  document.addEventListener('keydown', ({ key, target }) => key === 'Escape' && picked && !ui.sure.open && target !== ui.tools.elements.q && leave());
  wide.addEventListener('change', () => { if (ui.details.open) { ui.details.close(); open(); } });
}
