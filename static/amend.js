/*
 * Amends a run's chart by a table of passengers in CSV, dropped here or chosen. The hub first says
 * what the table would do, line by line; only then can it be sent.
 */

import { make, ui } from './elements.js';
import { sure } from './give.js';
import { headOf, pathOf, table } from './schedule.js';
import { ask } from './staff.js';
import { say, tell } from './wording.js';

const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

const sum = ({ added, corrected }) => say('amend.sum', { count: added, corrected });

function faults({ rejected, warnings }) {
  const rows = [...rejected.map((each) => [say('amend.left-out'), each]), ...warnings.map((each) => ['', each])]
    .sort(([, a], [, b]) => a.line - b.line)
    .map(([what, { line, pnr, reason }]) => [String(line), pnr, what ? [make('b', what), `: ${reason}`] : reason]);
  return rows.length ? [table(headOf('amend.line', 'pnr', 'amend.fault'), rows)] : [];
}

/** Shows what the table would do, and the button that sends it. */
async function check(file, source, { found, send }, train) {
  const body = { source, passengers: await file.text() };
  const { result } = await ask(pathOf(train, '/chart/check'), body);
  found.replaceChildren(make('p', say('amend.found', { file: file.name, sum: sum(result), count: result.rejected.length })), ...faults(result));
  const key = newKey(); // of this table: pressed twice, it is one amendment
  send.hidden = result.added + result.corrected === 0;
  send.onclick = async () => {
    if (!await sure(say('ask.amend', { train: `${train.trainNo} ${train.trainName}`, sum: sum(result) }))) return;
    send.hidden = true;
    try {
      const done = (await ask(pathOf(train, '/chart'), body, key)).result;
      tell(ui.done, done.unchanged ? 'done.unchanged' : 'amend.done');
    } catch (error) {
      send.hidden = false;
      tell(ui.done, 'done.not', { reason: error.message });
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
