/* Who waits, what is offered, who did what, and why a person has a berth or none: for the staff. */

import { shows } from './address.js';
import { berthForms } from './berthing.js';
import { make } from './elements.js';
import { commandButton } from './give.js';
import { headOf, pathOf, table } from './schedule.js';
import { ask } from './staff.js';
import { clock, codeWords, inHubZone, join, say } from './wording.js';

const MOST_CLOSED = 30; // closed offers that are shown
const MOST_DEEDS = 100;

export const timeOf = (moment) => clock(moment.includes('Z') || moment.endsWith('+00:00') ? inHubZone(moment) : moment);

/** A button that opens what happened to a person, and why. */
function personButton({ pnr, index, name }) {
  const button = make('button', name, { type: 'button', className: 'plain' });
  button.dataset.person = button.dataset.key = `${pnr}/${index}`;
  return button;
}

export const waiting = {
  may: Boolean,
  on: /^(CHART|BOOKING|PASSENGER|BOARD|NO_SHOW|BERTH|UPGRADE)/,
  read: async (train) => (await ask(pathOf(train, '/rac'))).result,
  show: (people) => (people.length ? [table(headOf('waiting.turn', 'passenger', 'class', 'waiting.state', 'leg'), people.map((each, i) => [
    `${i + 1}. ${each.status} ${each.number ?? ''}`,
    personButton(each),
    each.class,
    join(codeWords(each.state), each.offerId && say('waiting.offered')),
    `${each.from} → ${each.to}`,
  ]))] : [make('p', say('waiting.none'))]),
};

const outcomeOf = ({ seenAt, outcome }) => (seenAt ? say('letter.seen', { time: timeOf(seenAt) }) : codeWords(outcome));
const letterWords = (letter) => say('letter', { channel: codeWords(letter.channel), outcome: outcomeOf(letter) });

function deviceWords({ state, delivered, deliveredAt }) {
  if (delivered) return say('offer.devices', { count: delivered, time: timeOf(deliveredAt) });
  return say(state === 'OPEN' ? 'offer.no-device.yet' : 'offer.no-device');
}

function offerItem(offer, train, follower) {
  const item = make('li');
  const isOpen = offer.state === 'OPEN';
  const end = isOpen ? make('b') : make('span', join(codeWords(offer.state), offer.closedAt && timeOf(offer.closedAt)));
  if (isOpen) end.dataset.until = offer.expiresAt;
  const first = make('p');
  first.append(make('b', `${offer.coach}-${offer.berth}`), ` ${say('offer.to', { type: codeWords(offer.berthType) })} `, personButton(offer), ' ', make('small', `${offer.from} → ${offer.to}`));
  const second = make('p');
  second.append(end, ' · ', join(deviceWords(offer), ...offer.letters.map(letterWords)));
  item.append(first, second);
  if (isOpen) item.append(...answers(offer, train, follower));
  return item;
}

function answers({ offerId, name, coach, berth }, train, follower) {
  const values = { berth: `${coach}-${berth}`, name };
  return ['WITHDRAW_OFFER', 'APPROVE_OFFER'].map((type) =>
    commandButton(`offer.${type}`, offerId, train, follower, [say(`ask.${type}`, values), type, { offerId }]));
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
    ...(open.length ? [] : [make('p', say('offer.none'))]),
    ...offerList(say('offer.open'), open, ...more),
    ...offerList(say('offer.closed'), closed, ...more),
  ],
};

export const log = {
  may: ({ role }) => role === 'ADMIN',
  on: /./,
  read: async ({ run }) => (await ask(`api/audit?run=${encodeURIComponent(run)}&limit=${MOST_DEEDS}`)).result,
  show: (deeds) => [
    table(headOf('time', 'log.user', 'log.command', 'log.about'), deeds.map((each) => [
      timeOf(each.at), [each.user, ' ', make('small', each.role)],
      [codeWords(each.command), each.result === 'DONE' ? '' : make('small', ` ${say('log.refused', { reason: codeWords(each.result) })}`)],
      each.about ?? '',
    ])),
    make('p', say('log.hint'), { className: 'hint' }),
  ],
};

function letterRow(letter) {
  const { at, channel, kind, detail } = letter;
  return [timeOf(at), say('letter.what', { kind: codeWords(kind), channel: codeWords(channel) }), [outcomeOf(letter), detail ? make('span', ` · ${detail}`, { lang: 'en' }) : '']];
}

export const person = {
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
    const place = found.coach ? `${found.coach}-${found.berth}` : say('berth.none');
    const booked = join(`${found.status} ${found.number ?? ''}`, found.class, place, codeWords(found.state), `${found.from} → ${found.to}`);
    return [
      make('h3', found.name),
      make('p', join(say('person.who', { pnr: found.pnr, index: found.index }), booked)),
      make('p', standing ? say('person.now', { reason: standing }) : say('person.incomplete'), { className: complete ? 'standing' : 'hint' }),
      table(headOf('time', 'what', 'berth', 'person.why'), decisions.map((each) => [
        timeOf(each.at), codeWords(each.event), each.coach ? `${each.coach}-${each.berth}` : '', make('span', each.reason, { lang: 'en' }),
      ])),
      make('h3', say('letters')),
      letters === null ? make('p', say('letters.away'))
        : letters.length ? table(headOf('time', 'letters.what', 'letters.outcome'), letters.map(letterRow)) : make('p', say('letters.none')),
      berthForms(found, train, follower),
    ];
  },
};
