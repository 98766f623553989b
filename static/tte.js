/*
 * The TTE's page: the people of one run, marked with one tap. Marks go over trainhub.js, which keeps
 * them in this browser's storage until the hub has answered, in order and once. The page also keeps
 * the run as last seen, so that it works after a restart without a network.
 * staff_view.js answers questions about the run; this file shows it and sends commands.
 */

import { put, ui } from './elements.js';
import { ask, claimsOf, connectPage, showList, speak, takeFragment, workOffline } from './page.js';
import { StaffView, byBerth, personOf } from './staff_view.js';
import { moveBerth } from './tte_berth.js';
import { coachesOf, showDuty } from './tte_duty.js';

const KEPT = { token: 'trainhub.tte.token', run: 'trainhub.tte.run', problems: 'trainhub.tte.problems' };
const STORE = 'trainhub.tte'; // the name of the waiting commands in the storage
const MOST_LINES = 20; // of what happened, announcements and problems
const MOST_FOUND = 60;
const DOUBLE_TAP_MS = 500;
const ANSWER_MS = 60_000; // what is soon worth nothing does not wait longer for the hub
const MARKS = { MARK_BOARDED: 'ABOARD', MARK_NO_SHOW: 'NT', UNDO_BOARDED: 'DUE', UNDO_NO_SHOW: 'DUE' };
const NOT_SHOWN = new Set(['DISCARDED', 'CLOSED']);

/** Reads what this browser keeps; what is damaged counts as missing. */
function kept(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null;
  }
}

const main = document.querySelector('main');
const { given, token: fresh } = takeFragment();
let token = fresh ?? localStorage.getItem(KEPT.token);
let words;
let hub = null;
let train = null; // the subscription
let view = null; // the run, if the hub was ever reached
let undoFrom = 0; // no undo before this time
let turn = null; // the people who wait for a berth, in their turn
let seenAt = null; // when the run was last known to be current, by the hub's clock
let aheadMs = 0; // of the hub's clock before this device's, as last seen
let coach = null; // the chosen one; '' is for people without a berth
let shown = new Set(); // the people in the list: a marked one stays until the list changes
let listOf = ''; // what `shown` belongs to
let happened = [];
let heard = [];
let problems = kept(KEPT.problems) ?? [];
const reasons = new Map(); // person → why they have no berth
const mayBeSent = new Set(); // keys of waiting commands that the hub may have had

// --- what waits for the hub ---

/** The waiting mark of each person; the last one counts. */
const waitingMarks = () => new Map((hub?.waiting ?? []).filter(({ type }) => MARKS[type]).map((each) => [personOf(each.fields), each]));

/** Sends a command on this run; its failure is shown in words until the TTE closes it. */
function send(type, fields = {}, options = {}) {
  const { trainNo, startDate } = view.run;
  const answer = hub.command(type, { trainNo, startDate, ...fields }, options);
  follow(type, fields, answer);
  if (hub.state === 'live') for (const { key } of hub.waiting) mayBeSent.add(key);
  show();
  return answer;
}

function follow(type, fields, answer) {
  answer.then(show, ({ code, message, details = {} }) => {
    if (!NOT_SHOWN.has(code)) {
      problems = [...problems, { id: `${Date.now()} ${personOf(fields)} ${type}`, type, fields, code, message, details }].slice(-MOST_LINES);
      keepProblems();
    }
    show();
  });
}

function keepProblems() {
  localStorage.setItem(KEPT.problems, JSON.stringify(problems));
}

/** Sends what is worth nothing a minute later, and so does not wait for the hub as a mark does. */
function sendNow(type, fields) {
  send(type, fields, { withinMs: ANSWER_MS }).catch(() => {});
}

const nowMs = () => hub?.now() ?? Date.now() + aheadMs;

/** Says something to a screen reader. */
function tell(text) {
  put(ui.said, text);
}

function mark(person, type) {
  const { pnr, index } = person;
  undoFrom = performance.now() + DOUBLE_TAP_MS;
  setTimeout(show, DOUBLE_TAP_MS);
  tell(words.say(`said.${type}`, { name: person.name }));
  send(type, { pnr, index, at: new Date(nowMs()).toISOString() });
}

/** Takes a mark back. A waiting mark is not sent; a mark that the hub may have is undone there. */
function undo(person, waits) {
  const { pnr, index, state } = person;
  const type = state === 'NT' ? 'UNDO_NO_SHOW' : 'UNDO_BOARDED';
  tell(words.say(`said.${type}`, { name: person.name }));
  if (waits) hub.discard(waits.key);
  if (!waits || mayBeSent.has(waits.key)) send(type, { pnr, index, at: new Date(nowMs()).toISOString() });
  show();
}

// --- the list ---

const placeOf = ({ coach: code, berth }) => (code === null ? words.say('list.no-berth') : `${code}-${berth}`);
const time = (moment) => words.clock(moment, view.run.timezone);
const booked = ({ status, number }) => (number === null || status === 'CNF' ? status : `${status} ${number}`);

/** The person as the page shows them: a mark that waits counts already. */
function asShown(person, waits) {
  return waits ? { ...person, state: MARKS[waits.type], assumed: false, markedAt: waits.fields.at ?? waits.askedAt } : person;
}

function peopleToShow(waiting) {
  const find = ui.filters.elements.find.value.trim().toLowerCase();
  const { passengers, index, startDate, trainNo } = view.run;
  if (find) {
    const hit = (each) => [each.name, each.pnr, placeOf(each)].some((text) => text.toLowerCase().includes(find));
    return passengers.filter(hit).slice(0, MOST_FOUND);
  }
  const all = ui.filters.elements.show.value === 'all';
  const name = JSON.stringify([trainNo, startDate, index, coach, all]);
  if (name !== listOf) [listOf, shown] = [name, new Set()];
  for (const each of passengers) {
    if ((each.coach ?? '') === coach && (all || view.isToCheck(each) || waiting.has(personOf(each)))) shown.add(personOf(each));
  }
  return passengers.filter((each) => shown.has(personOf(each)));
}

const legWords = ({ from, to }) => words.say('person.leg', { from: view.stationCode(from), to: view.stationCode(to) });

function about({ age, gender, need, quota, upgradedFrom, pnr }) {
  return [
    age && words.say('person.age', { age: String(age), gender }).trim(),
    need && words.say(`person.need.${need}`), quota === 'LD' && words.say('person.quota.LD'),
    upgradedFrom && words.say('person.upgraded', { from: upgradedFrom }), pnr,
  ].filter(Boolean).join(' · ');
}

function markWords(person, waits, undoEnds) {
  if (waits?.type.startsWith('UNDO')) return words.say('mark.undo-waits');
  const { state, assumed, markedAt, from } = person;
  if (state === 'DUE') {
    return view.boardsLater(person) ? words.say('mark.later', { station: view.stationName(from) }) : '';
  }
  if (state === 'ABOARD' && assumed) return words.say('mark.assumed');
  const name = state === 'NT' && !waits && undoEnds <= nowMs() ? 'mark.NT.gone' : `mark.${state}`;
  const text = words.say(name, { time: time(markedAt) });
  return waits ? words.say('mark.waits', { mark: text }) : text;
}

/** Lets the TTE give a person another berth. */
function letMove(button, person, label) {
  button.disabled = hub?.state !== 'live' || !view.isTravelling(person);
  button.setAttribute('aria-label', label);
  button.onclick = () => moveBerth(person, { view, words, token, placeOf, send: sendNow });
}

function updatePerson(row, person, li, waits) {
  const now = asShown(person, waits);
  const place = placeOf(person);
  const undoEnds = view.undoEnds(person);
  const undone = waits?.type.startsWith('UNDO');
  const canMark = view.isUnderWay(person) && (!waits || undone);
  const isChecked = now.state === 'ABOARD' && !now.assumed;
  const canUndo = waits ? !undone : (isChecked && view.run.status === 'RUNNING') || undoEnds > nowMs();
  const buttons = [row.undo, row.o, row.nt];
  const focused = buttons.find((each) => each === document.activeElement);
  li.dataset.state = now.assumed ? 'ASSUMED' : now.state;
  put(row.berth, person.berth === null ? '–' : String(person.berth));
  put(row.coach, person.coach ?? '');
  put(row.name, person.name);
  put(row.leg, [legWords(person), booked(person)].join(' · '));
  put(row.about, about(person));
  put(row.mark, markWords(now, waits, undoEnds));
  put(row.undo, undoEnds < Infinity && !waits && canUndo && now.state === 'NT' ? words.say('undo.left', { left: words.span(undoEnds - nowMs()) }) : words.say('undo'));
  row.o.hidden = !canMark || isChecked || now.state === 'ALIGHTED';
  row.nt.hidden = !canMark || !(now.state === 'DUE' || now.assumed);
  row.undo.hidden = !canUndo;
  const early = performance.now() < undoFrom; // the second tap of a double tap is no undo
  row.undo.setAttribute('aria-disabled', String(early));
  const { name } = person;
  letMove(row.move, person, words.say('person.move', { shown: row.move.textContent, name }));
  row.o.setAttribute('aria-label', words.say('person.o', { name, place }));
  row.nt.setAttribute('aria-label', words.say('person.nt', { name, place }));
  row.undo.setAttribute('aria-label', words.say('person.undo', { undo: row.undo.textContent, name, place, mark: now.state === 'NT' ? 'NT' : 'O' }));
  row.o.onclick = () => mark(person, 'MARK_BOARDED');
  row.nt.onclick = () => mark(person, 'MARK_NO_SHOW');
  row.undo.onclick = () => early || undo(now, waits);
  if (focused?.hidden) buttons.find((each) => !each.hidden)?.focus();
}

function showCoaches() {
  const codes = view.coaches();
  const counts = new Map(codes.map((code) => [code, 0]));
  for (const each of view.run.passengers) if (view.isToCheck(each)) counts.set(each.coach ?? '', (counts.get(each.coach ?? '') ?? 0) + 1);
  if (!codes.includes(coach)) {
    const mine = coachesOf(claimsOf(token).sub, view.run, hub?.waiting ?? []);
    coach = mine.find((code) => counts.get(code)) ?? codes.find((code) => counts.get(code)) ?? codes[0] ?? '';
  }
  showList(ui.coaches, codes, (code) => `coach ${code}`, 'coach', (chip, code, button) => {
    const [count, checked] = [counts.get(code), view.run.checked.includes(code)];
    put(chip.code, code || words.say('list.no-berth'));
    put(chip.count, checked && !count ? '✓' : String(count));
    button.setAttribute('aria-pressed', String(code === coach));
    button.setAttribute('aria-label', words.say(checked ? 'list.coach.checked' : 'list.coach', { coach: code || words.say('list.no-berth'), count }));
    button.onclick = () => { coach = code; ui.filters.elements.find.value = ''; show(); };
  });
}

function showPeople(waiting) {
  showCoaches();
  const people = peopleToShow(waiting).sort(byBerth);
  const { elements } = ui.filters;
  put(ui.listTitle, view.run.status === 'RUNNING' ? words.say('list.title', { station: view.run.station.name }) : words.say('list.title.ended'));
  showList(ui.people, people, personOf, 'person', (row, person, li) => updatePerson(row, person, li, waiting.get(personOf(person))));
  put(ui.noPeople, people.length ? '' : words.say(`list.none.${elements.find.value ? 'find' : elements.show.value}`));
  showChecked();
}

const stillDue = (code) => view.run.passengers.filter((each) => (each.coach ?? '') === code && each.state === 'DUE' && view.isToCheck(each)).length;

function showChecked() {
  const { status, checked, station } = view.run;
  const is = checked.includes(coach);
  const name = is ? 'list.checked' : hub?.state === 'live' ? 'list.check' : 'list.check.offline';
  ui.checked.hidden = status !== 'RUNNING' || !coach;
  ui.checked.disabled = is || hub?.state !== 'live';
  put(ui.checked, words.say(name, { coach, station: station.name }));
}

/** Says that the coach is checked. It cannot be undone, so with people still due it is asked first. */
async function checkCoach() {
  const [code, count] = [coach, stillDue(coach)];
  if (count && !(await sure(words.say('list.check.sure', { coach: code, count }), words.say('list.check.yes')))) return;
  sendNow('CHECK_COACH', { coach: code });
}

function sure(question, yes) {
  put(ui.question, question);
  put(ui.yes, yes);
  ui.dialog.returnValue = '';
  ui.dialog.showModal();
  return new Promise((answer) => { ui.dialog.onclose = () => answer(ui.dialog.returnValue === 'yes'); });
}

// --- RAC and WL ---

function updateWaiting(card, person, next) {
  const offer = view.run.offers.some((each) => each.state === 'OPEN' && personOf(each) === personOf(person));
  const { name, state, coach: code } = person;
  put(card.title, `${booked(person)} ${name}`);
  put(card.chip, offer ? words.say('waiting.offer') : person === next ? words.say('waiting.next') : '');
  const seat = code === null ? '' : words.say('waiting.shares', { place: placeOf(person) });
  put(card.about, [person.class, legWords(person), words.say(`waiting.state.${state}`), seat].filter(Boolean).join(' · '));
  put(card.note, '');
  put(card.reason, reasons.get(personOf(person)) ?? '');
  put(card.give, words.say('waiting.give'));
  letMove(card.give, person, words.say('waiting.give.label', { name, place: placeOf(person) }));
  put(card.why, words.say('waiting.why'));
  card.why.setAttribute('aria-label', words.say('waiting.why.label', { name }));
  card.why.disabled = hub?.state !== 'live';
  card.why.onclick = () => explain(person);
}

function showWaiting() {
  const waits = (turn ?? []).map((each) => view.person(each)).filter((each) => each && (each.state === 'ABOARD' || each.state === 'DUE'));
  const claimants = view.run.passengers.filter((each) => view.isClaimant(each));
  const others = waits.filter((each) => each.status === 'RAC' || each.status === 'WL');
  const isNext = (each) => each.state === 'ABOARD' && !view.run.offers.some((offer) => offer.state === 'OPEN' && personOf(offer) === personOf(each));
  const next = new Map();
  for (const each of [...waits.filter((each) => view.isClaimant(each)), ...others]) if (isNext(each) && !next.has(each.class)) next.set(each.class, each);
  const update = (card, person) => updateWaiting(card, person, next.get(person.class));
  ui.claimantSection.hidden = !claimants.length;
  showList(ui.claimants, claimants, personOf, 'card', update);
  showList(ui.waiting, others, personOf, 'card', update);
  put(ui.noWaiting, turn === null ? words.say('waiting.unknown') : claimants.length + others.length ? '' : words.say('waiting.none'));
}

async function explain(person) {
  const { trainNo, startDate } = view.run;
  try {
    const path = `api/trains/${trainNo}/passengers/${encodeURIComponent(person.pnr)}/${person.index}/history?date=${startDate}`;
    const response = await fetch(path, { headers: { Authorization: `Bearer ${token}` } });
    const { standing, error } = await response.json();
    reasons.set(personOf(person), standing ?? error?.message ?? '');
  } catch (error) {
    reasons.set(personOf(person), error.message);
  }
  show();
}

let turnTimer = null;

/** Asks for the turn, which only the hub knows, soon after the last of several changes. */
function askTurn() {
  clearTimeout(turnTimer);
  turnTimer = setTimeout(async () => {
    const { trainNo, startDate } = view.run;
    try {
      turn = await ask(token, 'GET', `api/trains/${trainNo}/rac?date=${startDate}`);
      turn = turn.map(({ pnr, index }) => ({ pnr, index }));
      keep();
      show();
    } catch { /* the list stays as it was; the next event asks again */ }
  }, 500);
}

// --- offers and announcements ---

function updateOffer(card, offer) {
  const person = view.person(offer);
  const waits = hub.waiting.some(({ fields }) => fields.offerId === offer.offerId);
  const approval = view.run.policy === 'APPROVAL';
  const left = Date.parse(offer.expiresAt) - nowMs();
  const passed = offer.reason?.filter(({ outcome }) => outcome !== 'chosen') ?? [];
  put(card.title, person.name);
  put(card.place, `${offer.coach}-${offer.berth}`);
  const now = person.coach === null ? booked(person) : `${booked(person)} ${placeOf(person)}`;
  put(card.about, words.say('offers.now', { place: now, to: view.stationCode(offer.to) }));
  put(card.left, left > 0 ? words.say('offers.left', { left: words.span(left) }) : words.say('offers.over'));
  const seen = offer.delivered ? words.say('offers.seen', { count: offer.delivered }) : words.say('offers.unseen');
  const before = passed.length ? words.say('offers.passed', { count: passed.length, why: [...new Set(passed.map(({ outcome }) => outcome))].join(', ') }) : '';
  put(card.seen, [approval ? '' : seen, before].filter(Boolean).join(' '));
  put(card.accept, words.say(approval ? 'offers.approve' : 'offers.accept'));
  put(card.deny, words.say('offers.deny'));
  put(card.withdraw, words.say('offers.withdraw'));
  const answers = { accept: approval ? 'APPROVE_OFFER' : 'ACCEPT_OFFER', deny: 'DENY_OFFER', withdraw: 'WITHDRAW_OFFER' };
  for (const [name, type] of Object.entries(answers)) {
    card[name].disabled = waits || left <= 0;
    card[name].onclick = () => sendNow(type, { offerId: offer.offerId });
  }
}

function showOffers() {
  const open = view.run.offers.filter(({ state }) => state === 'OPEN');
  put(ui.offerCount, open.length ? String(open.length) : '');
  ui.noOffers.hidden = open.length > 0;
  showList(ui.offers, open, ({ offerId }) => offerId, 'offer', updateOffer);
  ui.nothingHappened.hidden = happened.length > 0;
  showLines(ui.happened, happened, ({ type, data }) => {
    const name = view.person(data)?.name ?? '';
    return words.say(`happened.${type === 'UPGRADE_CLOSED' ? data.outcome : type}`, { name, place: placeOf(data) });
  });
}

function showLines(list, events, text) {
  showList(list, [...events].reverse(), ({ seq }) => String(seq), 'line', (line, event) => {
    put(line.time, time(event.timestamp));
    put(line.text, text(event));
  });
}

// --- what was not taken ---

function whyWords({ type, code, message, details }) {
  const { markedAt, markedBy, state, boardsAt, berth, holders, status, outcome } = details;
  const by = markedBy ?? words.say('why.marked.hub');
  if (markedAt) return words.say('why.marked', { state: words.say(`state.${state}`), by, time: time(markedAt) });
  if (boardsAt) return words.say('why.boardsAt', { station: view.stationName(boardsAt) });
  if (holders) return words.say('why.holders', { place: berth, list: holders.map(({ name }) => name).join(', ') });
  if (berth && type === 'UNDO_NO_SHOW') return words.say('why.berth', { place: berth });
  if (outcome) return words.say('why.outcome', { outcome: words.say(`outcome.${outcome}`) });
  if (state) return words.say('why.state', { state: words.say(`state.${state}`) });
  if (status) return words.say('why.status', { status: words.say(`status.${status}`) });
  return words.has(`why.${code}`) ? words.say(`why.${code}`) : message;
}

function problemWords(problem) {
  const { type, fields } = problem;
  const person = fields.pnr ? view.person(fields) : null;
  const what = words.say(`problem.${type}`, { ...fields, name: person?.name ?? fields.pnr, place: person && placeOf(person) });
  const whole = fields.at ? words.say('problem.at', { what, time: time(fields.at) }) : what;
  return words.say('problem.text', { what: whole, why: whyWords(problem) });
}

function showProblems() {
  ui.problemSection.hidden = !problems.length;
  showList(ui.problems, problems, ({ id }) => id, 'problem', (row, problem) => {
    put(row.text, problemWords(problem));
    put(row.close, words.say('problem.close'));
    row.close.onclick = () => {
      problems = problems.filter((each) => each !== problem);
      keepProblems();
      show();
    };
  });
}

// --- the page ---

function whereWords({ status, departed, station, next, delayMinutes }) {
  const where = words.say(departed ? 'tte.left' : 'tte.stands', { station: station.name });
  const parts = [status === 'RUNNING' ? where : words.say(`tte.status.${status}`)];
  if (next && status === 'RUNNING') parts.push(words.say('tte.next', { station: next.name, time: time(next.expected) }));
  if (delayMinutes > 0 && status !== 'CANCELLED') parts.push(words.say('tte.late', { count: delayMinutes }));
  return parts.join(' · ');
}

function showLink() {
  const state = hub?.state ?? 'waiting';
  put(ui.link, words.say(`link.${state}`));
  const count = hub?.waiting.length ?? 0;
  const asOf = view && state !== 'live' && seenAt ? words.say('tte.as-of', { time: time(seenAt) }) : '';
  const waits = count && state !== 'live' ? words.say('tte.waits', { count }) : '';
  put(ui.stale, [asOf, waits].filter(Boolean).join(' '));
  ui.stale.hidden = !asOf && !waits;
}

function say(text) {
  put(ui.news, text);
  ui.news.hidden = !text;
}

let frame = null;

/** Shows all, once for several changes. */
function show() {
  frame ??= setTimeout(() => {
    frame = null;
    showNow();
  });
}

function showNow() {
  if (!words) return;
  const is = Boolean(view && token);
  for (const part of [ui.now, ui.tabs, ui.views]) part.hidden = !is;
  ui.login.hidden = Boolean(token) && hub?.state !== 'refused';
  showLink();
  if (!is) return;
  const { trainNo, trainName } = view.run;
  put(ui.heading, `${trainNo} ${trainName}`);
  put(ui.where, whereWords(view.run));
  put(ui.account, words.say('account.who', { user: claimsOf(token).sub }));
  showPeople(waitingMarks());
  showWaiting();
  showOffers();
  showDuty({ view, words, token, user: claimsOf(token).sub, waiting: hub?.waiting ?? [], live: hub?.state === 'live', send, tell, show });
  showLines(ui.heard, heard, ({ data }) => `${words.say(`level.${data.level}`)}: ${data.text}`);
  ui.noneHeard.hidden = heard.length > 0;
  showProblems();
  for (const button of ui.tabs.children) button.toggleAttribute('aria-current', button.dataset.tab === main.dataset.tab);
}

// --- following the run ---

const LISTED = { UPGRADE_CONFIRMED: 1, UPGRADE_CLOSED: 1, BERTH_LOST: 1, BERTH_ALLOTTED: 1 };
const TURN = /^(UPGRADE_CONFIRMED|BERTH_LOST|BERTH_ALLOTTED|PASSENGER_|NO_SHOW|BOARD)/;

function hear(event) {
  const next = view.after(event);
  if (!next) {
    followRun(view.run); // a fresh snapshot says the rest
    return;
  }
  view = next;
  if (LISTED[event.type]) happened = [...happened, event].slice(-MOST_LINES);
  if (event.type === 'ANNOUNCEMENT') heard = [...heard, event].slice(-MOST_LINES);
  if (TURN.test(event.type)) {
    reasons.clear();
    askTurn();
  }
  keep();
  show();
}

function followRun(run) {
  train?.unsubscribe();
  train = hub.subscribe(run, {
    subscribed: () => view && askTurn(),
    snapshot: (message) => {
      if (!message.run.checked) {
        giveUp(words.say('login.not-staff'));
        return;
      }
      say('');
      view = new StaffView(message.run);
      askTurn();
      keep();
      show();
    },
    event: (event) => view && hear(event),
    error: ({ message, final }) => (final ? giveUp(message) : say(message)),
  });
}

/** Asks for another token: this one does not show the run. */
function giveUp(text) {
  hub.close();
  localStorage.removeItem(KEPT.token);
  [hub, train, view, token] = [null, null, null, null];
  say(text);
  show();
}


let keepTimer = null;

/** Keeps the run as it is, for a start without a network; without what the page does not show. */
function keep() {
  noteTime();
  keepTimer ??= setTimeout(keepNow, 1000);
}

/** Notes when the run was last known to be current: now, if the hub is there. */
function noteTime() {
  if (view && hub?.state === 'live') [seenAt, aheadMs] = [nowMs(), nowMs() - Date.now()];
}

function keepNow() {
  clearTimeout(keepTimer);
  keepTimer = null;
  if (!view || !train) return;
  noteTime();
  const passengers = view.run.passengers.map(({ phone, email, irctcId, ...rest }) => rest);
  const { since } = train;
  try {
    localStorage.setItem(KEPT.run, JSON.stringify({ run: { ...view.run, passengers }, since, turn, seenAt, aheadMs, happened, heard }));
  } catch {
    localStorage.removeItem(KEPT.run); // a run that does not fit is only not kept
  }
}

/** Takes up the run that was kept, if it is the wanted one. A train without a date means no run that has ended. */
function recall(wanted) {
  const last = kept(KEPT.run);
  if (!last) return null;
  const { trainNo, startDate, status } = last.run;
  const isOver = ['COMPLETED', 'CANCELLED', 'CLOSED'].includes(status);
  if (wanted !== `${trainNo}/${startDate}` && (isOver || (wanted && wanted !== trainNo))) return null;
  ({ turn, seenAt, aheadMs, happened, heard } = last);
  view = new StaffView(last.run);
  return { trainNo, startDate, since: last.since };
}

/** The run that the address, the form or the token names. */
function wantedRun() {
  const { trains = [] } = claimsOf(token) ?? {};
  return given.get('run') ?? [trains].flat().find((each) => each !== '*');
}

function runOf(name) {
  const [trainNo, startDate] = name.split('/');
  return { trainNo, startDate };
}

function start() {
  if (token && !claimsOf(token)) {
    token = null;
    say(words.say('login.bad'));
  }
  if (!token) {
    show();
    return;
  }
  const wanted = wantedRun();
  const run = recall(fresh ? wanted : given.get('run')) ?? (wanted && runOf(wanted));
  if (!run) {
    token = null;
    say(words.say('login.no-run'));
    show();
    return;
  }
  localStorage.setItem(KEPT.token, token);
  hub = connectPage({
    token,
    storage: localStorage,
    storageName: STORE,
    onState: (state) => {
      if (state === 'live') for (const { key } of hub.waiting) mayBeSent.add(key);
      noteTime();
      if (state === 'refused') say(words.say('login.refused'));
      show();
    },
    onError: ({ code, message }) => say({ NOT_STORED: words.say('tte.not-stored'), OTHERS_WAIT: words.say('tte.others-wait') }[code] ?? message),
  });
  for (const { key, type, fields, answer } of hub.waiting) {
    mayBeSent.add(key); // before the page was closed
    follow(type, fields, answer);
  }
  followRun(run);
  show();
}

ui.login.onsubmit = (event) => {
  event.preventDefault();
  const { elements } = ui.login;
  token = elements.token.value.trim();
  if (elements.run.value.trim()) given.set('run', elements.run.value.trim());
  say('');
  if (!hub) {
    start();
  } else if (claimsOf(token)) {
    localStorage.setItem(KEPT.token, token);
    hub.identify(token).then(show, ({ message }) => say(message));
  }
};

ui.logout.onclick = async () => {
  const count = hub.waiting.length;
  if (count && !(await sure(words.say('account.sure', { count }), words.say('account.yes')))) return;
  for (const { key } of hub.waiting) hub.discard(key);
  hub.close();
  [hub, view] = [null, null];
  for (const name of Object.values(KEPT)) localStorage.removeItem(name);
  location.replace('tte.html');
};

ui.announce.onsubmit = (event) => {
  event.preventDefault();
  const { text, to, level } = ui.announce.elements;
  send('ANNOUNCE', { text: text.value, to: to.value, level: level.value }, { withinMs: ANSWER_MS }).then(() => {
    tell(words.say('announce.sent'));
    text.value = '';
  }, () => {});
};

ui.tabs.onclick = ({ target }) => {
  const button = target.closest('button');
  if (!button) return;
  main.dataset.tab = button.dataset.tab;
  show();
};
ui.filters.onsubmit = (event) => event.preventDefault();
ui.filters.oninput = show;
ui.checked.onclick = checkCoach;
addEventListener('pagehide', keepNow);
document.addEventListener('visibilitychange', () => document.hidden && keepNow());
setInterval(() => document.hidden || show(), 1000); // countdowns

await speak(ui.language, (loaded) => {
  words = loaded;
  ui.find.placeholder = words.say('list.find');
  if (!hub && !view) return;
  showNow();
});
start();
workOffline().catch(() => {}); // the page works all the same
