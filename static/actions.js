/* What the staff can do with a run. Before each command a question says what will happen. */

import { takeTables } from './amend.js';
import { copy, make, places, put, ui } from './elements.js';
import { give, onSubmit } from './give.js';
import { pathOf } from './schedule.js';
import { ask } from './staff.js';
import { delayWords, name, trainOf } from './wording.js';

/** The next report of the journey, as a command. */
function nextReport({ status, departed, station, next }) {
  if (status === 'SCHEDULED') return ['start the journey', 'START_JOURNEY', null];
  if (status !== 'RUNNING') return null;
  return departed && next ? [`arrival at ${name(next)}`, 'ARRIVE', next.code] : [`departure from ${name(station)}`, 'DEPART', station.code];
}

/** The last report of the journey, as the fields that undo it. */
function lastReport({ departed, station }) {
  const report = departed ? 'DEPARTURE' : 'ARRIVAL';
  return [`${report.toLowerCase()} at ${name(station)}`, { stationCode: station.code, report }];
}

const optional = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value));

/** Form → the question, the type and the fields of its command; `who` names the train. */
const FORMS = {
  announce: ({ text, to, level }, who) => [`Announce to ${to === 'STAFF' ? 'the staff' : 'everyone'} on ${who}: “${text}”?`, 'ANNOUNCE', { text, to, level }],
  report({ platform }, who, train) {
    const [what, type, stationCode] = nextReport(train) ?? [];
    if (!type) return null;
    if (!stationCode) return [`${who}: ${what} now?`, type, {}];
    return [`${who}: report the ${what} now?`, type, { stationCode, ...optional({ platform }) }];
  },
  undo(_, who, train) {
    const [what, fields] = lastReport(train);
    return [`${who}: undo the ${what}? Passengers are told.`, 'UNDO_REPORT', fields];
  },
  delay: ({ minutes, reason }, who) => [`Set ${who} to ${delayWords(Number(minutes))}? Passengers are told.`, 'SET_DELAY', { delayMinutes: Number(minutes), ...optional({ reason }) }],
  platform: ({ stationCode, platform }, who) => [`${who} comes to platform ${platform} at ${stationCode}? Passengers are told.`, 'SET_PLATFORM', { stationCode, platform }],
  skip: ({ stationCode }, who) => [`${who} will not stop at ${stationCode}? Passengers are told.`, 'SKIP_STATION', { stationCode }],
  halt({ stationCode, name: said, after, arrival, departure, platform }, who) {
    const question = `${who} will stop also at ${said} (${stationCode}), from ${arrival} to ${departure}? Passengers are told.`;
    return [question, 'ADD_HALT', { stationCode, name: said, after, arrival, departure, ...optional({ platform }) }];
  },
  terminate: ({ stationCode, reason }, who) => [`End ${who} at ${stationCode}? All passengers are told, and the stations after it are not served.`, 'SHORT_TERMINATE', { stationCode, ...optional({ reason }) }],
  cancel: ({ reason }, who) => [`Cancel ${who}? All passengers are told. The run can be reinstated.`, 'CANCEL_TRAIN', optional({ reason })],
  reinstate: (_, who) => [`Reinstate ${who}? It is as before it was cancelled or closed, and passengers are told.`, 'REINSTATE_TRAIN', {}],
};

function show(stations, train, follower) {
  const { run } = train;
  const all = copy('actions');
  const place = places(all);
  for (const select of all.querySelectorAll('select[name=stationCode], select[name=after]')) {
    select.append(...stations.map(({ code, name: said }) => make('option', `${said} (${code})`, { value: code })));
  }
  takeTables(place, train);
  onSubmit(all, (form, values) => {
    const now = trainOf(run);
    const command = FORMS[form.getAttribute('name')]?.(values, `${now.trainNo} ${now.trainName}`, now);
    if (command) give(now, follower, command);
  });
  return [all];
}

/** Says what would be reported or undone now, without a touch to the forms, which may be half filled in. */
function tick(part, train) {
  const place = places(part);
  const report = nextReport(train);
  put(place.nextReport, report ? `Next: ${report[0]}.` : 'The run is over.');
  put(place.lastReport, `Last: ${lastReport(train)[0]}.`);
  const stopped = ['CANCELLED', 'CLOSED'].includes(train.status);
  place.undo.hidden = stopped || !(train.departed || train.index); // at the first station nothing is reported yet
  place.cancel.hidden = stopped;
  place.reinstate.hidden = !stopped;
}

export const actions = {
  title: 'Actions',
  may: Boolean,
  on: /^$/,
  async read(train) {
    const { result } = await ask(pathOf(train));
    return result.stations.slice(result.index).map(({ stop: code, name: said }) => ({ code, name: said }));
  },
  show,
  tick,
};
