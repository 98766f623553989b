/* The captaincy report of a run, coach by coach, and as a file. */

import { make } from './elements.js';
import { timeOf } from './people.js';
import { headOf, pathOf, table } from './schedule.js';
import { ask, askForFile } from './staff.js';
import { codeWords, join, say } from './wording.js';

const leg = ({ from, to }) => `${from} → ${to}`;
const moved = ({ oldCoach, oldBerth }) => (oldCoach ? say('captaincy.from', { berth: `${oldCoach}-${oldBerth}` }) : say('captaincy.from-none'));
const marked = ({ markedAt }) => (markedAt ? timeOf(markedAt) : '');

/** List of the report → what more it says of a line. */
const LISTS = {
  noShows: marked,
  notSeated: marked,
  unchecked: () => '',
  uncheckedNotSeated: () => '',
  leftEarly: ({ left }) => codeWords(left),
  leftNotSeated: ({ left }) => codeWords(left),
  notServed: () => '',
  vacant: ({ cause }) => codeWords(cause),
  blocked: ({ reason }) => codeWords(reason),
  upgrades: moved,
  allotments: (line) => join(moved(line), codeWords(line.allottedFor ?? ''), line.note),
};

function rows(part) {
  return Object.entries(LISTS).flatMap(([list, more]) => (part[list] ?? []).map((line) =>
    [say(`captaincy.${list}`), String(line.berth ?? ''), line.name ?? '', line.from ? leg(line) : '', more(line)]));
}

function section(title, part) {
  const found = rows(part);
  return [make('h3', title), found.length
    ? table(headOf('what', 'berth', 'passenger', 'leg', 'captaincy.more'), found)
    : make('p', say('captaincy.nothing'), { className: 'hint' })];
}

function remarkRow({ at, station, coach, tte, text }) {
  return [timeOf(at), join(station, coach), tte ?? '', text];
}

function fileButton(train) {
  const button = make('button', say('captaincy.save'), { type: 'button' });
  button.dataset.key = 'file';
  button.addEventListener('click', () => askForFile(pathOf(train, '/report', '&format=csv'), `captaincy-${train.trainNo}-${train.startDate}.csv`));
  return button;
}

export const report = {
  may: Boolean,
  on: /./,
  read: async (train) => (await ask(pathOf(train, '/report'))).result,
  show: (found, train) => [
    fileButton(train),
    ...found.coaches.flatMap((coach) => section(`${say('coach.name', { coach: coach.coach })} ${coach.class}`, coach)),
    ...section(say('captaincy.not-seated'), found),
    ...(found.remarks.length ? [make('h3', say('captaincy.remarks')), table(headOf('time', 'run.where', 'log.user', 'captaincy.remark'), found.remarks.map(remarkRow))] : []),
  ],
};
