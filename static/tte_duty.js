/*
 * The TTE's duty: the coaches that the TTE is responsible for, the handover list, and remarks. Sign-on,
 * sign-off and remarks wait for the hub as marks do; only the hub has the handover list.
 */

import { make, put, ui } from './elements.js';
import { ask, showList } from './page.js';

let chosen = null; // the coaches that are ticked; null follows the duty
let list = null; // the handover list, as the hub gave it
let failed = ''; // why it did not

/** The coaches of a user, as the last command that waits will have them. */
export function coachesOf(user, { duty }, waiting) {
  const last = waiting.filter(({ type }) => type === 'SIGN_ON' || type === 'SIGN_OFF').at(-1);
  if (last) return last.fields.coaches ?? [];
  return duty.filter(({ tte }) => tte === user).map(({ coach }) => coach);
}

/** Shows the part. `page` has the view, the words, the user, what waits, and how the page sends. */
export function showDuty(page) {
  const { view, words, user, waiting, send, show } = page;
  const { duty, status } = view.run;
  const mine = coachesOf(user, view.run, waiting);
  const ticked = chosen ?? new Set(mine);
  const names = duty.map(({ coach }) => coach).filter((each) => ticked.has(each));
  const waits = waiting.some(({ type }) => type === 'SIGN_ON' || type === 'SIGN_OFF');
  const over = duty.filter(({ coach, tte }) => ticked.has(coach) && tte !== null && tte !== user);
  const isOver = status === 'COMPLETED' || status === 'CANCELLED';
  put(ui.dutyNow, [
    mine.length ? words.say('duty.mine', { coaches: mine.join(', ') }) : words.say('duty.none'),
    waits && words.say('duty.waits'),
  ].filter(Boolean).join(' '));
  showList(ui.dutyCoaches, duty, ({ coach }) => `coach ${coach}`, 'coach', (chip, { coach, tte }, button) => {
    put(chip.code, coach);
    put(chip.count, tte ?? '–');
    button.setAttribute('aria-pressed', String(ticked.has(coach)));
    button.setAttribute('aria-label', words.say(tte === null ? 'duty.coach.free' : 'duty.coach', { coach, tte }));
    button.disabled = isOver;
    button.onclick = () => {
      chosen = new Set(ticked);
      if (!chosen.delete(coach)) chosen.add(coach);
      show();
    };
  });
  put(ui.dutyOver, over.map(({ coach, tte }) => words.say('duty.over', { coach, tte })).join(' '));
  put(ui.signOn, names.length ? words.say('duty.on', { coaches: names.join(', ') }) : words.say('duty.on.none'));
  ui.signOn.disabled = isOver || !names.length || names.join() === mine.join();
  ui.signOn.onclick = () => {
    chosen = null;
    send('SIGN_ON', { coaches: names });
  };
  ui.signOff.hidden = !mine.length;
  ui.signOff.onclick = () => {
    chosen = null;
    send('SIGN_OFF');
  };
  showRemark(page);
  showHandover(page, new Set(mine));
}

function showRemark({ view, words, send, tell }) {
  const { coach, text } = ui.remark.elements;
  const codes = ['', ...view.run.duty.map((each) => each.coach)];
  if (coach.length !== codes.length) coach.replaceChildren(...codes.map((value) => make('option', value, { value })));
  put(coach.options[0], words.say('remark.train'));
  ui.remark.onsubmit = (event) => {
    event.preventDefault();
    send('REMARK', { text: text.value.trim(), coach: coach.value || null });
    tell(words.say('remark.said'));
    text.value = '';
  };
}

function showHandover(page, mine) {
  const { view, words, token, live, show } = page;
  const { trainNo, startDate } = view.run;
  put(ui.handover, words.say(list ? 'handover.again' : 'handover.show'));
  ui.handover.disabled = !live;
  ui.handover.onclick = async () => {
    try {
      [list, failed] = [await ask(token, 'GET', `api/trains/${trainNo}/handover?date=${startDate}`), ''];
    } catch ({ message }) {
      failed = message;
    }
    show();
  };
  put(ui.handoverNews, failed || (live ? '' : words.say('handover.offline')));
  const ownFirst = (a, b) => mine.has(b.coach) - mine.has(a.coach);
  const parts = list === null ? [] : [...list.coaches.toSorted(ownFirst), { coach: null, ...list }];
  const shown = parts.map((part) => [part, linesOf(part, page)]).filter(([{ coach }, lines]) => lines.length || mine.has(coach));
  showList(ui.handoverList, shown, ([{ coach }]) => `part ${coach}`, 'handover', (card, [{ coach, tte, checked }, lines]) => {
    put(card.title, coach ?? words.say('handover.train'));
    put(card.chip, tte ?? '');
    const isChecked = checked ? 'handover.checked' : 'handover.unchecked';
    put(card.about, coach === null ? '' : words.say(isChecked, { station: view.stationName(checked) }));
    put(card.lines, lines.join('\n') || words.say('handover.nothing'));
  });
  ui.noHandover.hidden = list === null || shown.length > 0;
}

/** What a part of the list says, a line for each kind of thing that is still to be done. */
function linesOf({ unchecked, offers = [], vacant = [], remarks, uncheckedNotSeated, lateClaimants = [] }, { view, words }) {
  const named = (people) => people.map(({ berth, name }) => [berth, name].filter(Boolean).join(' ')).join(', ');
  const line = (name, people) => (people.length ? [words.say(name, { count: people.length, list: named(people) })] : []);
  return [
    ...line('handover.to-check', unchecked ?? uncheckedNotSeated),
    ...line('handover.late', lateClaimants),
    ...line('handover.offers', offers),
    ...[...new Set(vacant.map(({ to }) => to))].map((to) => words.say('handover.vacant', {
      to: view.stationName(to),
      list: vacant.filter((each) => each.to === to).map(({ berth, half }) => `${berth}${half ? '½' : ''}`).join(', '),
    })),
    ...remarks.map(({ at, tte, text }) => words.say('handover.remark', { time: words.clock(at, view.run.timezone), tte: tte ?? '', text })),
  ];
}
