/* A coach as its berths, each with the state of the passenger who has it on the chosen leg. */

import { adjust, shows } from './address.js';
import { blockForm } from './berthing.js';
import { make } from './elements.js';
import { pathOf } from './schedule.js';
import { ask } from './staff.js';
import { codeWords, name, number, say } from './wording.js';

const BAY = { '1A': 4, '2A': 6, SL: 8, '3A': 8, '3E': 8 }; // berths from one wall to the next
const SEATS = 5; // in a row
const TYPE = {
  LOWER: 'L', MIDDLE: 'M', UPPER: 'U', SIDE_LOWER: 'SL', SIDE_MIDDLE: 'SM', SIDE_UPPER: 'SU', SEAT: '',
};
/** The states, with the sign that tells them apart without colours. */
const SIGN = { VACANT: '', BLOCKED: '–', DUE: '?', ABOARD: '✓', NT: '✕', ALIGHTED: '↓', UNCHECKED: '?', CANCELLED: '✕' };

let leg = null; // the index of the station at which the chosen leg begins; null follows the train

/** The codes of a run's coaches, in their order. The public's figures may leave some out. */
function codesOf({ figures, passengers = [] }) {
  const codes = [...figures.coaches, ...passengers].map(({ coach }) => coach).filter(Boolean);
  return [...new Set(codes)].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
}

async function read(train) {
  const { result } = await ask(pathOf(train));
  const codes = codesOf(result);
  const code = codes.includes(shows('coach')) ? shows('coach') : codes[0];
  const berths = code ? (await ask(pathOf(train, `/coaches/${code}`))).result : [];
  const stations = result.stations.map(({ stop: each, name: said }) => ({ code: each, name: said }));
  return { codes, code, berths, stations, now: Math.min(result.index, stations.length - 2) };
}

function cell(coach, { berth, berthType, blocked, holders }, at, places) {
  const here = holders.filter(({ from, to }) => places.get(from) <= at && places.get(to) > at);
  const state = here[0]?.state ?? (blocked ? 'BLOCKED' : 'VACANT');
  const [first] = here;
  const people = here.map(({ name: who, state: each, from, to }) => say('coach.person', { name: who, state: say(`coach.state.${each}`), from, to }));
  const label = say('coach.berth', { berth: `${coach}-${berth}`, type: codeWords(berthType), state: people.join('; ') || say(`coach.state.${state}`) });
  const el = make('button', '', { type: 'button', title: label, className: 'berth' });
  el.append(make('b', String(berth)), make('small', `${TYPE[berthType] ?? ''} ${SIGN[state] ?? ''}${here.length > 1 ? '½' : ''}`), make('span', label, { className: 'unseen' }));
  el.dataset.state = state;
  el.dataset.key = `${coach}-${berth}`;
  if (first) el.dataset.person = `${first.pnr}/${first.index}`;
  else el.dataset.berth = berth;
  return el;
}

function legs(stations, now, draw) {
  const choice = make('select', '', { ariaLabel: say('coach.leg') });
  stations.slice(0, -1).forEach((each, i) => {
    choice.append(make('option', `${name(each)} → ${name(stations[i + 1])}${i === now ? ` ${say('coach.leg.now')}` : ''}`, { value: i, selected: i === (leg ?? now) }));
  });
  choice.dataset.key = 'leg';
  choice.addEventListener('change', () => { leg = Number(choice.value) === now ? null : Number(choice.value); draw(); });
  return choice;
}

function show({ codes, code, berths, stations, now }, train, follower) {
  if (!code) return [make('p', say('coach.none'))];
  const places = new Map(stations.map((each, i) => [each.code, i]));
  const plan = make('div', '', { className: 'plan', role: 'group', ariaLabel: say('coach.name', { coach: code }) });
  const tally = make('p', '', { className: 'hint' });
  const draw = () => {
    const at = leg ?? now;
    const cells = berths.map((berth) => cell(code, berth, at, places));
    plan.className = `plan bay${BAY[berths[0].class] ?? SEATS}`;
    plan.replaceChildren(...cells);
    const having = (state) => cells.filter((el) => el.dataset.state === state).length;
    tally.textContent = Object.entries(SIGN).filter(([state]) => having(state))
      .map(([state, sign]) => `${number(having(state))} ${say(`coach.state.${state}`)} ${sign}`.trim()).join(' · ');
  };
  draw();
  const coach = make('select', '', { ariaLabel: say('coach') });
  for (const each of codes) coach.append(make('option', each, { selected: each === code }));
  coach.dataset.key = 'coach';
  coach.addEventListener('change', () => adjust({ coach: coach.value }));
  const head = make('p', '', { className: 'choices' });
  head.append(coach, legs(stations, now, draw));
  const form = blockForm(code, berths, train, follower);
  plan.addEventListener('click', ({ target }) => {
    const { berth } = target.closest('button')?.dataset ?? {};
    if (berth) form.choose(berth);
  });
  return [head, plan, tally, form];
}

export const coaches = {
  may: Boolean,
  on: /^(CHART|BOOKING|STATION|PASSENGER|BOARD|NO_SHOW|BERTH|UPGRADE_CONFIRMED)/,
  read,
  show,
};
