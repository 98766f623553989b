/* What the staff can do with berths: block and unblock them, give a vacant one, exchange two. */

import { copy, make, places, put, ui } from './elements.js';
import { give, onSubmit } from './give.js';
import { pathOf } from './schedule.js';
import { ask } from './staff.js';

const TRAVELS = ['DUE', 'ABOARD'];

const optional = (note) => (note ? { note } : {});
const berthOf = ({ coach, berth }) => (coach ? `${coach}-${berth}` : 'no berth');

/** Reads a berth like S1-30 as the fields of a command. */
function readBerth(text) {
  const [, coach, berth] = /^(.+)-(\d+)$/.exec(text.trim().toUpperCase());
  return { coach, berth: Number(berth) };
}

/** The form that blocks berths of a coach. Its `choose` chooses a berth. */
export function blockForm(coach, berths, train, follower) {
  const all = copy('blocking');
  const { choice, reason, unblock } = places(all);
  const options = berths.map(({ berth, blocked }) => make('option', blocked ? `${berth}, blocked` : String(berth), { value: berth }));
  choice.append(...options, make('option', 'the whole coach', { value: '' }));
  const chosen = () => ({ coach, ...(choice.value && { berth: Number(choice.value) }) });
  const what = () => (choice.value ? `berth ${coach}-${choice.value}` : `all berths of coach ${coach}`);
  onSubmit(all, () => give(train, follower, [
    `Block ${what()}? Passengers who have them get others, if there are any.`, 'BLOCK_BERTH', { ...chosen(), reason: reason.value },
  ]));
  unblock.addEventListener('click', () => give(train, follower, [
    `Unblock ${what()}? Berths that are free go to passengers on RAC and WL.`, 'UNBLOCK_BERTH', chosen(),
  ]));
  const choose = (berth) => { choice.value = berth; choice.focus(); };
  return Object.assign(all, { choose });
}

function allot(person, { berth, reason, note }, train, follower) {
  const asked = readBerth(berth);
  return give(train, follower, [
    `Give berth ${berthOf(asked)} to ${person.name}? The passenger is told, and confirmed in it.`,
    'ALLOT_BERTH', { pnr: person.pnr, index: person.index, ...asked, reason, ...optional(note) },
  ]);
}

/** Exchanges berths with who has the other one. Two on RAC may share it: then it asks for each. */
async function swap(person, { other, note }, train, follower) {
  const asked = readBerth(other);
  const people = (await ask(pathOf(train, '/passengers'))).result;
  const found = people.filter((each) => each.coach === asked.coach && each.berth === asked.berth && TRAVELS.includes(each.state));
  for (const each of found) {
    if (await give(train, follower, [
      `Exchange the berths of ${person.name} (${berthOf(person)}) and ${each.name} (${berthOf(each)})? Both are told.`,
      'SWAP_BERTHS', { pnr: person.pnr, index: person.index, otherPnr: each.pnr, otherIndex: each.index, ...optional(note) },
    ])) return;
  }
  if (!found.length) put(ui.done, `Not done: no passenger who travels has ${berthOf(asked)}.`);
}

/** The forms that give a person another berth. */
export function berthForms(person, train, follower) {
  const all = copy('berthing');
  const forms = { allot, swap };
  onSubmit(all, (form, values) => forms[form.getAttribute('name')](person, values, train, follower)
    .catch(({ message }) => put(ui.done, `Not done: ${message}`)));
  return all;
}
