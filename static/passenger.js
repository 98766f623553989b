/*
 * The passenger page: follows the trains of a token, shows the passenger's own berths and offers,
 * answers offers, and lets this device take pushes. The token comes by the address's fragment,
 * #token=…, or from the form; it is never in a query, and leaves the address at once.
 */
import { make, put, ui } from './elements.js';
import { ask, claimsOf, connectPage, speak, takeFragment, workOffline } from './page.js';

const KEPT = 'trainhub.token';
const ANSWER_MS = 60_000; // an answer to an offer is soon worth nothing
const SEATS = 5; // in a row

const { given, token: fresh } = takeFragment();
const runs = new Map(); // run → its state
const layouts = new Map(); // address of a coach → its berths; null until the hub has told them
let token = fresh ?? localStorage.getItem(KEPT);
let words;
let hub = null;
let wanted = given.get('offer'); // of the link that opened the page
let asked = given.get('answer') && { offerId: given.get('offer'), answer: given.get('answer') };

function say(text) {
  put(ui.news, text);
  ui.news.hidden = !text;
}

// --- what is shown ---

const booked = ({ status, number }) => (number === null || status === 'CNF' ? status : `${status} ${number}`);

function whereWords({ startDate, status, station, next, delayMinutes, departed, timezone }) {
  const where = words.say(departed ? 'my.where.left' : 'my.where.at', { station: station.name });
  const parts = [words.say('my.train', { date: words.day(startDate), status: words.say(`status.${status}`), where })];
  if (next) parts.push(words.say('my.next', { station: next.name, time: words.clock(next.expected, timezone) }));
  if (delayMinutes > 0) parts.push(words.say('tte.late', { count: delayMinutes }));
  return parts.join(' · ');
}

const stationName = ({ stations }, code) => stations.find(({ stop }) => stop === code)?.name ?? code;

function layoutOf({ trainNo, startDate }, coach) {
  const path = `api/trains/${trainNo}/coaches/${coach}/layout?date=${startDate}`;
  if (!layouts.has(path)) {
    layouts.set(path, null);
    ask(token, 'GET', path).then((berths) => {
      layouts.set(path, berths);
      show();
    }, () => layouts.delete(path));
  }
  return layouts.get(path);
}

/** Returns how many berths there are from one wall to the next. */
function bayOf(types) {
  const side = types.findIndex((each, i) => each.startsWith('SIDE') && !types[i + 1]?.startsWith('SIDE'));
  if (side >= 0) return side + 1;
  return types[0] === 'SEAT' ? SEATS : 2 * new Set(types).size;
}

/** Draws a coach as its berths, a bay on each line, with the passenger's own one. */
function coachPlan(run, { coach, berth }) {
  const berths = coach && layoutOf(run, coach);
  const own = berths?.find((each) => each.berth === berth);
  if (!own) return '';
  const type = words.say(`berth.${own.berthType}`);
  const plan = make('div', '', { className: 'plan', role: 'img', ariaLabel: words.say('my.plan', { coach, berth: String(berth), type }) });
  plan.style.setProperty('--bay', bayOf(berths.map(({ berthType }) => berthType)));
  plan.append(...berths.map((each) => make('span', String(each.berth), { className: each === own ? 'own' : each.berthType.toLowerCase() })));
  return plan;
}

function trainCard(run) {
  const card = make('article');
  card.append(make('h2', `${run.trainNo} ${run.trainName}`), make('p', whereWords(run)));
  for (const person of run.passengers ?? []) {
    const { coach, berth, state } = person;
    card.append(
      make('h3', words.say('my.person', { name: person.name, from: stationName(run, person.from), to: stationName(run, person.to) })),
      make('p', coach ? `${coach}-${berth}` : booked(person), { className: 'berth' }),
      make('p', `${booked(person)}, ${words.say(`my.state.${state}`)}`),
      coachPlan(run, person),
    );
  }
  return card;
}

function offerCard(run, { offerId, coach, berth, berthType, to, expiresAt }) {
  const card = make('article', '', { className: 'offer', tabIndex: -1 });
  card.dataset.offer = offerId;
  const left = make('p');
  left.dataset.until = expiresAt;
  const answers = make('div', '', { className: 'answers' });
  answers.append(
    make('button', words.say('my.accept'), { type: 'button', className: 'first', onclick: () => give(offerId, 'accept') }),
    make('button', words.say('my.deny'), { type: 'button', onclick: () => give(offerId, 'deny') }),
  );
  card.append(
    make('h2', words.say('my.offer')),
    make('p', `${coach}-${berth}`, { className: 'berth' }),
    make('p', words.say('my.offer.what', { type: words.say(`berth.${berthType}`), to: stationName(run, to) })),
    coachPlan(run, { coach, berth }),
    left,
    answers,
  );
  return card;
}

function count() {
  for (const each of document.querySelectorAll('[data-until]')) {
    const left = Date.parse(each.dataset.until) - (hub.now() ?? Date.now());
    put(each, left > 0 ? words.say('my.left', { left: words.span(left) }) : words.say('my.over'));
  }
}

function show() {
  put(ui.link, hub ? words.say(`link.${hub.state}`) : '');
  const all = [...runs.values()];
  ui.trains.replaceChildren(...all.map(trainCard));
  const { activeElement } = document;
  const held = activeElement.closest('[data-offer]');
  const place = [...held?.querySelectorAll('button') ?? []].indexOf(activeElement);
  ui.offers.replaceChildren(...all.flatMap((run) => (run.offers ?? []).map((each) => offerCard(run, each))));
  const again = held && cardOf(held.dataset.offer); // the new card of the offer that has the focus
  (again?.querySelectorAll('button')[place] ?? again)?.focus();
  count();
  showWanted();
}

const cardOf = (offerId) => [...ui.offers.children].find(({ dataset }) => dataset.offer === offerId);

/** Goes to the offer of the link, once the hub has told the offers. */
function showWanted() {
  if (!wanted || !runs.size) return;
  const card = cardOf(wanted);
  wanted = null;
  if (card) card.focus();
  else if (!asked) say(words.say('my.gone'));
}

async function give(offerId, answer) {
  try {
    await hub.command(answer === 'accept' ? 'ACCEPT_OFFER' : 'DENY_OFFER', { offerId }, { withinMs: ANSWER_MS });
    say(words.say(answer === 'accept' ? 'my.accepted' : 'my.denied'));
  } catch (error) {
    say(error.message);
  }
}

/** An offer has ended, perhaps on another device. */
function ended({ offerId }, outcome) {
  if (offerId) say(words.say(`my.ended.${outcome}`));
}

/** Takes away the notifications of offers that have ended, also while no page was open. */
async function tidy() {
  const worker = await navigator.serviceWorker?.getRegistration();
  for (const each of await worker?.getNotifications() ?? []) {
    const offerId = each.data?.link?.split('#offer=')[1];
    const [trainNo, startDate, seq] = offerId?.split('.') ?? [];
    const run = runs.get(`${trainNo}/${startDate}`);
    const isTold = run?.seq >= seq; // else the push was faster than the socket
    if (isTold && !run.offers?.some((offer) => offer.offerId === offerId)) each.close();
  }
}

// --- following ---

function follow(train) {
  hub.subscribe(train, {
    state: (run) => {
      const name = `${run.trainNo}/${run.startDate}`;
      const isNew = runs.get(name)?.seq !== run.seq; // else only figures have changed, which this page does not show
      runs.set(name, run);
      if (!isNew) return;
      show();
      tidy();
    },
    subscribed: () => {
      if (asked) give(asked.offerId, asked.answer);
      asked = null;
    },
    UPGRADE_CONFIRMED: ({ data }) => ended(data, 'ACCEPTED'),
    UPGRADE_CLOSED: ({ data }) => ended(data, data.outcome),
    error: ({ message }) => say(message),
  });
}

function start() {
  if (token && !claimsOf(token)) {
    token = null;
    say(words.say('login.bad'));
  }
  ui.login.hidden = Boolean(token);
  ui.preferences.hidden = !token;
  if (!token) return;
  localStorage.setItem(KEPT, token);
  hub = connectPage({
    token,
    onState: (state, { reason }) => {
      put(ui.link, words.say(`link.${state}`));
      if (state === 'refused') say(reason);
    },
    onError: ({ message }) => say(message),
  });
  const { trains } = claimsOf(token);
  const names = [trains].flat().filter((each) => each !== '*');
  if (given.get('train')) names.push(given.get('train'));
  for (const name of new Set(names)) {
    const [trainNo, startDate] = name.split('/');
    follow(startDate ? { trainNo, startDate } : trainNo);
  }
  choose();
}

// --- how to be told ---

async function choose() {
  try {
    const { language, channels, muted, quietFrom, quietTo } = await ask(token, 'GET', 'api/me/preferences');
    const { elements } = ui.chosen;
    elements.language.value = language;
    for (const name of ['EMAIL', 'PUSH']) elements[name].checked = channels.includes(name);
    for (const box of elements.kind) box.checked = !muted.includes(box.value);
    [elements.quietFrom.value, elements.quietTo.value] = [quietFrom ?? '', quietTo ?? ''];
    const { key } = await ask(token, 'GET', 'api/push/key');
    ui.push.hidden = !key || !('PushManager' in window);
    put(ui.pushNote, key ? '' : words.say('my.no-push'));
  } catch (error) {
    say(error.message);
  }
}

async function takePushes() {
  try {
    const { key } = await ask(token, 'GET', 'api/push/key');
    const worker = await navigator.serviceWorker.register('sw.js');
    const subscription = await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
    await ask(token, 'POST', 'api/me/devices', subscription.toJSON());
    put(ui.pushNote, words.say('my.pushed'));
  } catch (error) {
    say(error.message);
  }
}

ui.login.onsubmit = (event) => {
  event.preventDefault();
  const { elements } = ui.login;
  token = elements.token.value.trim();
  if (elements.train.value) given.set('train', elements.train.value.trim());
  start();
};
ui.chosen.onsubmit = async (event) => {
  event.preventDefault();
  const { elements } = ui.chosen;
  try {
    await ask(token, 'PUT', 'api/me/preferences', {
      language: elements.language.value,
      channels: ['EMAIL', 'PUSH'].filter((name) => elements[name].checked),
      muted: [...elements.kind].filter((box) => !box.checked).map((box) => box.value),
      quietFrom: elements.quietFrom.value || null,
      quietTo: elements.quietTo.value || null,
    });
    say(words.say('my.saved'));
  } catch (error) {
    say(error.message);
  }
};
ui.push.onclick = takePushes;
ui.logout.onclick = () => {
  localStorage.removeItem(KEPT);
  location.replace('passenger.html');
};

await speak(ui.language, (loaded) => {
  words = loaded;
  show();
});
setInterval(count, 1000);
start();
workOffline().catch(() => {}); // the page works all the same
