/* What the staff can do with a run. Before each command a question says what will happen. */

import { takeTables } from './amend.js';
import { copy, make, places, put, ui } from './elements.js';
import { give, onSubmit } from './give.js';
import { pathOf } from './schedule.js';
import { ask } from './staff.js';
import { delayWords, name, say, trainOf } from './wording.js';

/** The next report of the journey: its command, and the station. */
function nextReport({ status, departed, station, next }) {
  if (status === 'SCHEDULED') return ['START_JOURNEY', null];
  if (status !== 'RUNNING') return null;
  return departed && next ? ['ARRIVE', next] : ['DEPART', station];
}

/** The kind of the journey's last report; it is about the station where the train is. */
const lastReport = ({ departed }) => (departed ? 'DEPARTURE' : 'ARRIVAL');

const optional = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value));

/** Form → the question, the type and the fields of its command; `who` names the train. */
const FORMS = {
  announce: ({ text, to, level }, who) => [say(`ask.announce.${to}`, { train: who, text }), 'ANNOUNCE', { text, to, level }],
  report({ platform }, who, train) {
    const [type, at] = nextReport(train) ?? [];
    if (!type) return null;
    return [say(`ask.report.${type}`, { train: who, station: name(at) }), type, at ? { stationCode: at.code, ...optional({ platform }) } : {}];
  },
  undo(_, who, train) {
    const report = lastReport(train);
    return [say(`ask.undo.${report}`, { train: who, station: name(train.station) }), 'UNDO_REPORT', { stationCode: train.station.code, report }];
  },
  delay: ({ minutes, reason }, who) => [say('ask.delay', { train: who, delay: delayWords(Number(minutes)) }), 'SET_DELAY', { delayMinutes: Number(minutes), ...optional({ reason }) }],
  platform: ({ stationCode, platform }, who) => [say('ask.platform', { train: who, platform, station: stationCode }), 'SET_PLATFORM', { stationCode, platform }],
  skip: ({ stationCode }, who) => [say('ask.skip', { train: who, station: stationCode }), 'SKIP_STATION', { stationCode }],
  halt({ stationCode, name: said, after, arrival, departure, platform }, who) {
    const question = say('ask.halt', { train: who, station: said, code: stationCode, from: arrival, to: departure });
    return [question, 'ADD_HALT', { stationCode, name: said, after, arrival, departure, ...optional({ platform }) }];
  },
  terminate: ({ stationCode, reason }, who) => [say('ask.terminate', { train: who, station: stationCode }), 'SHORT_TERMINATE', { stationCode, ...optional({ reason }) }],
  cancel: ({ reason }, who) => [say('ask.cancel', { train: who }), 'CANCEL_TRAIN', optional({ reason })],
  reinstate: (_, who) => [say('ask.reinstate', { train: who }), 'REINSTATE_TRAIN', {}],
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
  const [next, at] = nextReport(train) ?? ['NONE', null];
  put(place.nextReport, say(`act.next.${next}`, { station: name(at) }));
  put(place.lastReport, say(`act.last.${lastReport(train)}`, { station: name(train.station) }));
  const stopped = ['CANCELLED', 'CLOSED'].includes(train.status);
  place.undo.hidden = stopped || !(train.departed || train.index); // at the first station nothing is reported yet
  place.cancel.hidden = stopped;
  place.reinstate.hidden = !stopped;
}

export const actions = {
  may: Boolean,
  on: /^$/,
  async read(train) {
    const { result } = await ask(pathOf(train));
    return result.stations.slice(result.index).map(({ stop: code, name: said }) => ({ code, name: said }));
  },
  show,
  tick,
};
