/*
 * The passenger page: follows the trains of a token, shows the passenger's own berths and offers,
 * answers offers, and lets this device take pushes. The token comes by the address's fragment,
 * #token=…, or from the form; it is never in a query, and leaves the address at once.
 */
import { make, put, ui } from './elements.js';
import { ask, claimsOf, connectPage, speak, takeFragment, workOffline } from './page.js';

const KEPT = 'trainhub.token';
const ANSWER_MS = 60_000; // an answer to an offer is soon worth nothing

const { given, token: fresh } = takeFragment();
const runs = new Map(); // run → its state
let token = fresh ?? localStorage.getItem(KEPT);
let words;
let hub = null;
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

function trainCard(run) {
  const card = make('article');
  card.append(make('h2', `${run.trainNo} ${run.trainName}`), make('p', whereWords(run)));
  for (const person of run.passengers ?? []) {
    const { coach, berth, state } = person;
    card.append(
      make('h3', words.say('my.person', person)),
      make('p', coach ? `${coach}-${berth}` : booked(person), { className: 'berth' }),
      make('p', `${booked(person)}, ${words.say(`my.state.${state}`)}`),
    );
  }
  return card;
}

function offerCard({ offerId, coach, berth, berthType, to, expiresAt }) {
  const card = make('article', '', { className: 'offer' });
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
    make('p', words.say('my.offer.what', { type: words.say(`berth.${berthType}`), to })),
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
  ui.offers.replaceChildren(...all.flatMap(({ offers = [] }) => offers.filter(({ state }) => state === 'OPEN').map(offerCard)));
  count();
}

async function give(offerId, answer) {
  try {
    await hub.command(answer === 'accept' ? 'ACCEPT_OFFER' : 'DENY_OFFER', { offerId }, { withinMs: ANSWER_MS });
    say(words.say(answer === 'accept' ? 'my.accepted' : 'my.denied'));
  } catch (error) {
    say(error.message);
  }
}

// --- following ---

function follow(train) {
  hub.subscribe(train, {
    state: (run) => {
      const name = `${run.trainNo}/${run.startDate}`;
      const isNew = runs.get(name)?.seq !== run.seq; // else only figures have changed, which this page does not show
      runs.set(name, run);
      if (isNew) show();
    },
    subscribed: () => {
      if (asked) give(asked.offerId, asked.answer);
      asked = null;
    },
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
