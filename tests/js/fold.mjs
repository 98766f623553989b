/** Fold with static/train_state.js: each line of stdin has a run and an event; each line of stdout is the run after it, or null. */

import { createInterface } from 'node:readline';
import { fold } from '../../static/train_state.js';

createInterface({ input: process.stdin }).on('line', (line) => {
  const { run, event } = JSON.parse(line);
  const before = JSON.stringify(run);
  const after = fold(run, event);
  if (JSON.stringify(run) !== before) throw new Error(`${event.type} has changed the given run`);
  console.log(JSON.stringify(after));
});
