/* A run's stations: scheduled, expected, actual and platform, for everyone. */

import { linkTo } from './address.js';
import { make } from './elements.js';
import { commandButton } from './give.js';
import { ask, covers } from './staff.js';
import { clock, say } from './wording.js';

export const pathOf = ({ trainNo, startDate }, part = '', query = '') => `api/trains/${trainNo}${part}?date=${startDate}${query}`;

/** The head of a table, from the names of its texts. */
export const headOf = (...names) => names.map((each) => say(each));

/** Makes a table from its head and its rows; a cell is a text, an element, or a list of both. */
export function table(head, rows, className = '') {
  const el = make('table', '', { className });
  const first = el.createTHead().insertRow();
  for (const text of head) first.append(make('th', text, { scope: 'col' }));
  const body = el.createTBody();
  for (const cells of rows) {
    const row = body.insertRow();
    for (const cell of cells) row.insertCell().append(...[cell ?? ''].flat());
  }
  return el;
}

function times(booked, expected, actual) {
  if (!booked) return '';
  if (!(actual ?? expected)) return make('s', clock(booked)); // not served
  const [first, second] = [clock(booked), clock(actual ?? expected)];
  const shown = actual ? make('b', second) : second;
  return first === second ? shown : [make('s', first), ' ', shown];
}

/** The button that serves a station after all, for the staff. */
function serveButton({ stop, name }, train, follower) {
  const question = say('ask.serve', { station: name, train: `${train.trainNo} ${train.trainName}` });
  return commandButton('schedule.serve', stop, train, follower, [question, 'UNDO_SKIP', { stationCode: stop }]);
}

function stationRow(stop, train, follower) {
  const link = make('a', stop.name, { href: linkTo({ station: stop.code }) });
  const serve = stop.skipped && covers(train) ? serveButton(stop, train, follower) : '';
  return [
    stop.skipped ? [link, ' ', make('small', say('schedule.skipped')), ' ', serve] : link,
    times(stop.scheduledArrival, stop.expectedArrival, stop.actualArrival),
    times(stop.scheduledDeparture, stop.expectedDeparture, stop.actualDeparture),
    [stop.platform ?? '–', stop.platform && !stop.platformConfirmed ? make('small', ' ?') : ''],
  ];
}

export const schedule = {
  on: /^(TRAIN|CHART|JOURNEY|STATION|SKIP|SHORT|DELAY|PLATFORM)/,
  read: async (train) => (await ask(pathOf(train))).result.stations,
  show: (stations, ...more) => [
    table(headOf('station', 'arrives', 'leaves', 'platform'), stations.map((stop) => stationRow(stop, ...more)), 'schedule'),
    make('p', say('schedule.hint'), { className: 'hint' }),
  ],
};
