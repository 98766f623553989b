/*
 * Amends a run's chart by a table of passengers in CSV, dropped here or chosen. The hub first says
 * what the table would do, line by line; only then can it be sent.
 */

import { make, put, ui } from './elements.js';
import { sure } from './give.js';
import { pathOf, table } from './schedule.js';
import { ask } from './staff.js';
import { count } from './wording.js';

const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

const sum = ({ added, corrected }) => `${count(added, 'passenger')} would be new and ${corrected} corrected`;

function faults({ rejected, warnings }) {
  const rows = [...rejected.map((each) => ['left out', each]), ...warnings.map((each) => ['', each])]
    .sort(([, a], [, b]) => a.line - b.line)
    .map(([what, { line, pnr, reason }]) => [String(line), pnr, what ? [make('b', what), `: ${reason}`] : reason]);
  return rows.length ? [table(['Line', 'PNR', 'Fault'], rows)] : [];
}

/** Shows what the table would do, and the button that sends it. */
async function check(file, source, { found, send }, train) {
  const body = { source, passengers: await file.text() };
  const { result } = await ask(pathOf(train, '/chart/check'), body);
  found.replaceChildren(make('p', `${file.name}: ${sum(result)}, ${count(result.rejected.length, 'line')} left out.`), ...faults(result));
  const key = newKey(); // of this table: pressed twice, it is one amendment
  send.hidden = result.added + result.corrected === 0;
  send.onclick = async () => {
    if (!await sure(`Amend the chart of ${train.trainNo} ${train.trainName}: ${sum(result)}?`)) return;
    send.hidden = true;
    try {
      const done = (await ask(pathOf(train, '/chart'), body, key)).result;
      put(ui.done, done.unchanged ? 'It was so already.' : 'Done: the chart is amended.');
    } catch (error) {
      send.hidden = false;
      put(ui.done, `Not done: ${error.message}`);
    }
  };
}

/** Lets the form take tables, dropped on it or chosen in it. */
export function takeTables({ amend, chosen, source, found, send }, train) {
  const take = (file) => {
    send.hidden = true;
    if (!file) return;
    check(file, source.value, { found, send }, train)
      .catch(({ message, details }) => found.replaceChildren(
        make('p', message, { className: 'fault' }),
        ...faults({ rejected: details?.rejected ?? [], warnings: [] }),
      ));
  };
  chosen.addEventListener('change', () => take(chosen.files[0]));
  source.addEventListener('change', () => take(chosen.files[0]));
  amend.addEventListener('dragover', (event) => event.preventDefault());
  amend.addEventListener('drop', (event) => {
    event.preventDefault();
    chosen.files = event.dataTransfer.files;
    take(chosen.files[0]);
  });
}
