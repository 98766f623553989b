/* The captaincy report of a run, coach by coach, and as a file. */

import { make } from './elements.js';
import { timeOf, words } from './people.js';
import { pathOf, table } from './schedule.js';
import { ask, askForFile } from './staff.js';
import { join } from './wording.js';

const leg = ({ from, to }) => `${from} → ${to}`;
const moved = ({ oldCoach, oldBerth }) => (oldCoach ? `from ${oldCoach}-${oldBerth}` : 'had no berth');
const marked = ({ markedAt }) => (markedAt ? timeOf(markedAt) : '');

/** List of the report → what it says of each line, and more about the line. */
const LISTS = {
  noShows: ['not turned up', marked],
  notSeated: ['not turned up', marked],
  unchecked: ['never checked', () => ''],
  uncheckedNotSeated: ['never checked', () => ''],
  leftEarly: ['left early', ({ left }) => words(left)],
  leftNotSeated: ['left early', ({ left }) => words(left)],
  notServed: ['not served', () => ''],
  vacant: ['was vacant', ({ cause }) => words(cause)],
  blocked: ['was blocked', ({ reason }) => words(reason)],
  upgrades: ['upgraded', moved],
  allotments: ['berth given', (line) => join(moved(line), words(line.allottedFor ?? ''), line.note)],
};

function rows(part) {
  return Object.entries(LISTS).flatMap(([list, [what, more]]) => (part[list] ?? []).map((line) =>
    [what, String(line.berth ?? ''), line.name ?? '', line.from ? leg(line) : '', more(line)]));
}

function section(title, part) {
  const found = rows(part);
  return [make('h3', title), found.length
    ? table(['What', 'Berth', 'Passenger', 'From, to', 'More'], found)
    : make('p', 'Nothing to report.', { className: 'hint' })];
}

function remarkRow({ at, station, coach, tte, text }) {
  return [timeOf(at), join(station, coach), tte ?? '', text];
}

function fileButton(train) {
  const button = make('button', 'Save as CSV', { type: 'button' });
  button.dataset.key = 'file';
  button.addEventListener('click', () => askForFile(pathOf(train, '/report', '&format=csv'), `captaincy-${train.trainNo}-${train.startDate}.csv`));
  return button;
}

export const report = {
  title: 'Report',
  may: Boolean,
  on: /./,
  read: async (train) => (await ask(pathOf(train, '/report'))).result,
  show: (found, train) => [
    fileButton(train),
    ...found.coaches.flatMap((coach) => section(`Coach ${coach.coach} ${coach.class}`, coach)),
    ...section('Without a berth, or not served', found),
    ...(found.remarks.length ? [make('h3', 'Remarks'), table(['Time', 'Where', 'User', 'Remark'], found.remarks.map(remarkRow))] : []),
  ],
};
