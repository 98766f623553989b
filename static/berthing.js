/* What the staff can do with berths: block and unblock them, give a vacant one, exchange two. */

import { copy, make, places, ui } from './elements.js';
import { give, onSubmit } from './give.js';
import { pathOf } from './schedule.js';
import { ask } from './staff.js';
import { say, tell } from './wording.js';

const TRAVELS = ['DUE', 'ABOARD'];

const optional = (note) => (note ? { note } : {});
const berthOf = ({ coach, berth }) => (coach ? `${coach}-${berth}` : say('berth.none'));

/** Reads a berth like S1-30 as the fields of a command. */
function readBerth(text) {
  const [, coach, berth] = /^(.+)-(\d+)$/.exec(text.trim().toUpperCase());
  return { coach, berth: Number(berth) };
}

/** The form that blocks berths of a coach. Its `choose` chooses a berth. */
export function blockForm(coach, berths, train, follower) {
  const all = copy('blocking');
  const { choice, reason, unblock } = places(all);
  const options = berths.map(({ berth, blocked }) => make('option', blocked ? say('berth.blocked', { berth: String(berth) }) : String(berth), { value: berth }));
  choice.append(...options, make('option', say('berth.all'), { value: '' }));
  const chosen = () => ({ coach, ...(choice.value && { berth: Number(choice.value) }) });
  const question = (ofOne, ofAll) => say(choice.value ? ofOne : ofAll, { coach, berth: choice.value });
  onSubmit(all, () => give(train, follower, [question('ask.block.one', 'ask.block.all'), 'BLOCK_BERTH', { ...chosen(), reason: reason.value }]));
  unblock.addEventListener('click', () => give(train, follower, [question('ask.unblock.one', 'ask.unblock.all'), 'UNBLOCK_BERTH', chosen()]));
  const choose = (berth) => { choice.value = berth; choice.focus(); };
  return Object.assign(all, { choose });
}

function allot(person, { berth, reason, note }, train, follower) {
  const asked = readBerth(berth);
  return give(train, follower, [
    say('ask.allot', { berth: berthOf(asked), name: person.name }),
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
      say('ask.swap', { name: person.name, berth: berthOf(person), other: each.name, otherBerth: berthOf(each) }),
      'SWAP_BERTHS', { pnr: person.pnr, index: person.index, otherPnr: each.pnr, otherIndex: each.index, ...optional(note) },
    ])) return;
  }
  if (!found.length) tell(ui.done, 'swap.none', { berth: berthOf(asked) });
}

/** The forms that give a person another berth. */
export function berthForms(person, train, follower) {
  const all = copy('berthing');
  const forms = { allot, swap };
  onSubmit(all, (form, values) => forms[form.getAttribute('name')](person, values, train, follower)
    .catch(({ message }) => tell(ui.done, 'done.not', { reason: message })));
  return all;
}
