/*
 * What the staff can do with a run. Before each command a question says what will happen, in words.
 * The client keeps a command until it is answered, so that it happens once.
 */

import { takeTables } from './amend.js';
import { copy, make, places, put, ui } from './elements.js';
import { pathOf } from './schedule.js';
import { ask } from './staff.js';
import { delayWords, name, trainOf } from './wording.js';

const WITHIN_MS = 30_000; // a command that could not be sent by then is given up, and said so

/** Asks a question in a dialog. Returns whether the answer is yes. */
export function sure(question) {
  put(ui.sureText, question);
  ui.sure.returnValue = '';
  ui.sure.showModal();
  return new Promise((then) => {
    ui.sure.addEventListener('close', () => then(ui.sure.returnValue === 'yes'), { once: true });
  });
}

/** Gives a command of the run after the question, and says what became of it. */
export async function give({ client, trainNo, startDate }, [question, type, fields]) {
  if (!await sure(question)) return;
  put(ui.done, 'Waiting for the hub…');
  try {
    const { unchanged } = await client.command(type, { trainNo, startDate, ...fields }, { withinMs: WITHIN_MS });
    put(ui.done, unchanged ? 'It was so already.' : 'Done.');
  } catch (error) {
    put(ui.done, `Not done: ${error.message}`);
  }
}

/** The next report of the journey, as a command. */
function nextReport({ status, departed, station, next }) {
  if (status === 'SCHEDULED') return ['start the journey', 'START_JOURNEY', null];
  if (status !== 'RUNNING') return null;
  return departed && next ? [`arrival at ${name(next)}`, 'ARRIVE', next.code] : [`departure from ${name(station)}`, 'DEPART', station.code];
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
  delay: ({ minutes, reason }, who) => [`Set ${who} to ${delayWords(Number(minutes))}? Passengers are told.`, 'SET_DELAY', { delayMinutes: Number(minutes), ...optional({ reason }) }],
  platform: ({ stationCode, platform }, who) => [`${who} comes to platform ${platform} at ${stationCode}? Passengers are told.`, 'SET_PLATFORM', { stationCode, platform }],
  skip: ({ stationCode }, who) => [`${who} will not stop at ${stationCode}? Passengers are told. This cannot be undone.`, 'SKIP_STATION', { stationCode }],
  cancel: ({ reason }, who) => [`Cancel ${who}? All passengers are told. This cannot be undone.`, 'CANCEL_TRAIN', optional({ reason })],
};

function show(stations, train, follower) {
  const { run } = train;
  const all = copy('actions');
  const place = places(all);
  for (const select of all.querySelectorAll('[name=stationCode]')) {
    select.append(...stations.map(({ code, name: said }) => make('option', `${said} (${code})`, { value: code })));
  }
  takeTables(place, train);
  all.addEventListener('submit', (event) => {
    event.preventDefault();
    const form = event.target;
    const now = trainOf(run);
    const command = FORMS[form.getAttribute('name')]?.(Object.fromEntries(new FormData(form)), `${now.trainNo} ${now.trainName}`, now);
    if (command) give({ ...now, client: follower.client }, command);
  });
  return [all];
}

/** Says what would be reported now, without a touch to the forms, which may be half filled in. */
function tick(part, train) {
  const report = nextReport(train);
  put(places(part).nextReport, report ? `Next: ${report[0]}.` : 'The run is over.');
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
