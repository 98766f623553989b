/* Who waits, what is offered, who did what, and why a person has a berth or none: for the staff. */

import { shows } from './address.js';
import { berthForms } from './berthing.js';
import { make } from './elements.js';
import { commandButton } from './give.js';
import { pathOf, table } from './schedule.js';
import { ask } from './staff.js';
import { clock, inHubZone, join } from './wording.js';

const MOST_CLOSED = 30; // closed offers that are shown
const MOST_DEEDS = 100;

export const words = (code) => code.toLowerCase().replaceAll('_', ' ');
export const timeOf = (moment) => clock(moment.includes('Z') || moment.endsWith('+00:00') ? inHubZone(moment) : moment);

/** A button that opens what happened to a person, and why. */
function personButton({ pnr, index, name }) {
  const button = make('button', name, { type: 'button', className: 'plain' });
  button.dataset.person = button.dataset.key = `${pnr}/${index}`;
  return button;
}

export const waiting = {
  title: 'RAC, WL',
  may: Boolean,
  on: /^(CHART|BOOKING|PASSENGER|BOARD|NO_SHOW|BERTH|UPGRADE)/,
  read: async (train) => (await ask(pathOf(train, '/rac'))).result,
  show: (people) => (people.length ? [table(['Turn', 'Passenger', 'Class', 'State', 'From, to'], people.map((each, i) => [
    `${i + 1}. ${each.status} ${each.number ?? ''}`,
    personButton(each),
    each.class,
    join(words(each.state), each.offerId && 'berth offered'),
    `${each.from} → ${each.to}`,
  ]))] : [make('p', 'No passenger waits for a berth.')]),
};

const OUTCOME = { QUEUED: 'waits', SENT: 'sent' };

const outcomeOf = ({ seenAt, outcome }) => (seenAt ? `seen ${timeOf(seenAt)}` : OUTCOME[outcome] ?? words(outcome));
const letterWords = (letter) => `${words(letter.channel)} ${outcomeOf(letter)}`;

function offerItem(offer, train, follower) {
  const item = make('li');
  const isOpen = offer.state === 'OPEN';
  const end = isOpen ? make('b') : make('span', `${words(offer.state)} ${offer.closedAt ? timeOf(offer.closedAt) : ''}`);
  if (isOpen) end.dataset.until = offer.expiresAt;
  const got = offer.delivered ? `on ${offer.delivered} device${offer.delivered > 1 ? 's' : ''} since ${timeOf(offer.deliveredAt)}` : isOpen ? 'on no device yet' : 'on no device';
  const first = make('p');
  first.append(make('b', `${offer.coach}-${offer.berth}`), ` ${words(offer.berthType)} to `, personButton(offer), ' ', make('small', `${offer.from} → ${offer.to}`));
  const second = make('p');
  second.append(end, ' · ', join(got, ...offer.letters.map(letterWords)));
  item.append(first, second);
  if (isOpen) item.append(...answers(offer, train, follower));
  return item;
}

function answers({ offerId, name, coach, berth }, train, follower) {
  const held = `the offer of ${coach}-${berth} to ${name}`;
  const commands = [
    ['Withdraw…', `Withdraw ${held}? The passenger is told.`, 'WITHDRAW_OFFER'],
    ['Approve…', `Approve ${held}? The passenger gets the berth.`, 'APPROVE_OFFER'],
  ];
  return commands.map(([text, ...command]) => commandButton(text, offerId, train, follower, [...command, { offerId }]));
}

function offerList(title, list, ...more) {
  if (!list.length) return [];
  const ul = make('ul', '', { className: 'offers' });
  ul.role = 'list';
  ul.append(...list.map((offer) => offerItem(offer, ...more)));
  return [make('h3', title), ul];
}

/** The id of the offer that a letter is about: the person's newest one before the letter's event. */
function offerOf({ event, about }, list) {
  const seqOf = ({ offerId }) => Number(offerId.split('.').at(-1));
  const earlier = list.filter((each) => `${each.pnr}/${each.index}` === about && seqOf(each) <= event);
  return earlier.sort((a, b) => seqOf(b) - seqOf(a))[0]?.offerId;
}

export const offers = {
  title: 'Offers',
  may: Boolean,
  on: /^(UPGRADE|CLOCK)/,
  async read(train) {
    const of = (query) => ask(pathOf(train, '/offers', query)).then(({ result }) => result);
    const [all, open, letters] = await Promise.all([
      of(`&limit=${MOST_CLOSED}`), of('&state=OPEN'),
      ask(pathOf(train, '/notifications')).catch(() => ({ result: [] })), // MongoDB may be away
    ]);
    const sent = letters.result.filter(({ kind }) => kind === 'OFFER');
    const withLetters = (offer) => ({ ...offer, letters: sent.filter((letter) => offerOf(letter, [...all, ...open]) === offer.offerId) });
    return { open: open.map(withLetters), closed: all.filter(({ state }) => state !== 'OPEN').reverse().map(withLetters) };
  },
  show: ({ open, closed }, ...more) => [
    ...(open.length ? [] : [make('p', 'No offer is open.')]),
    ...offerList('Open', open, ...more),
    ...offerList('Ended', closed, ...more),
  ],
};

export const log = {
  title: 'Who did what',
  may: ({ role }) => role === 'ADMIN',
  on: /./,
  read: async ({ run }) => (await ask(`api/audit?run=${encodeURIComponent(run)}&limit=${MOST_DEEDS}`)).result,
  show: (deeds) => [
    table(['Time', 'User', 'Command', 'About'], deeds.map((each) => [
      timeOf(each.at), [each.user, ' ', make('small', each.role)],
      [words(each.command), each.result === 'DONE' ? '' : make('small', ` refused: ${words(each.result)}`)],
      each.about ?? '',
    ])),
    make('p', 'Newest first. Commands come here when MongoDB has them.', { className: 'hint' }),
  ],
};

function letterRow(letter) {
  const { at, channel, kind, detail } = letter;
  return [timeOf(at), `${words(kind)} by ${words(channel)}`, join(outcomeOf(letter), detail)];
}

export const person = {
  title: 'Person',
  hidden: true,
  may: Boolean,
  on: /./,
  async read(train) {
    const [pnr, index] = (shows('person') ?? '').split('/');
    const [people, history, letters] = await Promise.all([
      ask(pathOf(train, `/passengers/${encodeURIComponent(pnr)}`)),
      ask(pathOf(train, `/passengers/${encodeURIComponent(pnr)}/${Number(index)}/history`)),
      ask(pathOf(train, '/notifications', `&pnr=${encodeURIComponent(pnr)}&index=${Number(index)}`)).catch(() => ({ result: null })),
    ]);
    const found = people.result.find((each) => each.index === Number(index));
    return { found, decisions: history.result, standing: history.standing, complete: history.complete, letters: letters.result };
  },
  show({ found, decisions, standing, complete, letters }, train, follower) {
    const place = found.coach ? `${found.coach}-${found.berth}` : 'no berth';
    const booked = join(`${found.status} ${found.number ?? ''}`, found.class, place, words(found.state), `${found.from} → ${found.to}`);
    return [
      make('h3', found.name),
      make('p', `PNR ${found.pnr}, person ${found.index} · ${booked}`),
      make('p', standing ? `Now: ${standing}.` : 'Some of the history is not held any more.', { className: complete ? 'standing' : 'hint' }),
      table(['Time', 'What', 'Berth', 'Why'], decisions.map((each) => [
        timeOf(each.at), words(each.event), each.coach ? `${each.coach}-${each.berth}` : '', each.reason,
      ])),
      make('h3', 'Letters'),
      letters === null ? make('p', 'MongoDB does not answer: letters are read from there.')
        : letters.length ? table(['Time', 'Letter', 'What became of it'], letters.map(letterRow)) : make('p', 'None.'),
      berthForms(found, train, follower),
    ];
  },
};
