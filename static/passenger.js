/*
 * The passenger page: follows the trains of a token, shows the passenger's own berths and offers,
 * answers offers, and lets this device take pushes. The token comes by the address's fragment,
 * #token=…, or from the form; it is never in a query, and leaves the address at once.
 */
import { connect } from './trainhub.js';

const at = (name) => document.querySelector(`[data-is="${name}"]`);
const given = new URLSearchParams(location.hash.slice(1));
const runs = new Map(); // run → the newest view of it
let token = given.get('token') ?? localStorage.getItem('trainhub.token');
let hub = null;
let asked = given.get('answer') && { offerId: given.get('offer'), answer: given.get('answer') };

if (given.has('token')) {
  given.delete('token');
  history.replaceState(null, '', `#${given}`);
}

const claims = () => {
  const text = atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'));
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (each) => each.charCodeAt(0))));
};

async function ask(method, path, body) {
  const response = await fetch(path, {
    method,
    headers: { Authorization: `Bearer ${token}`, ...(body && { 'Content-Type': 'application/json' }) },
    body: body && JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error.message);
  return answer.result;
}

function say(text) {
  at('news').textContent = text;
  at('news').hidden = !text;
}

// --- what is shown ---

function element(name, text, fields = {}) {
  return Object.assign(document.createElement(name), { textContent: text, ...fields });
}

const clock = (moment) => moment?.slice(11, 16) ?? '';

function trainCard({ trainNo, trainName, startDate, status, station, next, delayMinutes, departed, passengers = [] }) {
  const card = element('article', '');
  const where = departed ? `left ${station.name}` : `at ${station.name}`;
  const coming = next ? `; ${next.name} expected ${clock(next.expected)}` : '';
  const late = delayMinutes > 0 ? `, ${delayMinutes} min late` : '';
  card.append(
    element('h2', `${trainNo} ${trainName}`),
    element('p', `${startDate}: ${status.toLowerCase()}, ${where}${coming}${late}`),
  );
  for (const { name, from, to, coach, berth, status: booked, number, state } of passengers) {
    const place = coach ? `${coach}-${berth}` : `${booked} ${number ?? ''}`;
    card.append(element('h3', `${name}, ${from} to ${to}`), element('p', place, { className: 'berth' }));
    card.append(element('p', `${booked}${booked === 'CNF' ? '' : ` ${number ?? ''}`}, ${state.toLowerCase()}`));
  }
  return card;
}

function offerCard({ offerId, coach, berth, berthType, to, expiresAt }) {
  const card = element('article', '', { className: 'offer' });
  const left = element('p', '');
  left.dataset.until = expiresAt;
  const answers = element('div', '', { className: 'answers' });
  const accept = element('button', 'Accept', { type: 'button', className: 'first' });
  const deny = element('button', 'Decline', { type: 'button' });
  accept.onclick = () => give(offerId, 'accept');
  deny.onclick = () => give(offerId, 'deny');
  answers.append(accept, deny);
  card.append(element('h2', 'A berth of your own is free'));
  card.append(element('p', `${coach}-${berth}`, { className: 'berth' }));
  card.append(element('p', `${berthType.toLowerCase().replaceAll('_', ' ')}, to ${to}`), left, answers);
  return card;
}

function count() {
  for (const each of document.querySelectorAll('[data-until]')) {
    const seconds = Math.max(0, Math.round((Date.parse(each.dataset.until) - (hub.now() ?? Date.now())) / 1000));
    each.textContent = seconds ? `Answer within ${Math.floor(seconds / 60)} min ${seconds % 60} s` : 'The time is over';
  }
}

function show() {
  const all = [...runs.values()];
  at('trains').replaceChildren(...all.map(trainCard));
  at('offers').replaceChildren(...all.flatMap(({ offers = [] }) => offers.filter(({ state }) => state === 'OPEN').map(offerCard)));
  count();
}

async function refresh({ trainNo, startDate }) {
  try {
    runs.set(`${trainNo}/${startDate}`, await ask('GET', `api/trains/${trainNo}?date=${startDate}`));
    show();
  } catch (error) {
    say(error.message);
  }
}

async function give(offerId, answer) {
  try {
    await hub.command(answer === 'accept' ? 'ACCEPT_OFFER' : 'DENY_OFFER', { offerId }, { withinMs: 60_000 });
    say(answer === 'accept' ? 'The berth is yours, or waits for the examiner.' : 'You have declined the offer.');
  } catch (error) {
    say(error.message);
  }
}

// --- following ---

function follow(train) {
  const own = hub.subscribe(train, {
    subscribed: (answer) => {
      refresh(answer);
      if (asked) give(asked.offerId, asked.answer);
      asked = null;
    },
    event: () => refresh(own),
    error: ({ message }) => say(message),
  });
}

function start() {
  at('login').hidden = Boolean(token);
  at('preferences').hidden = !token;
  if (!token) return;
  localStorage.setItem('trainhub.token', token);
  hub = connect(new URL('ws', document.baseURI).href, {
    token,
    onState: (state, { reason }) => { at('link').textContent = reason ? `${state}: ${reason}` : state; },
    onError: ({ message }) => say(message),
  });
  const { trains } = claims();
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
    const { language, channels, muted, quietFrom, quietTo } = await ask('GET', 'api/me/preferences');
    const { elements } = at('chosen');
    elements.language.value = language;
    for (const name of ['EMAIL', 'PUSH']) elements[name].checked = channels.includes(name);
    for (const box of elements.kind) box.checked = !muted.includes(box.value);
    [elements.quietFrom.value, elements.quietTo.value] = [quietFrom ?? '', quietTo ?? ''];
    const { key } = await ask('GET', 'api/push/key');
    at('push').hidden = !key || !('PushManager' in window);
    at('pushNote').textContent = key ? '' : 'This hub sends no pushes.';
  } catch (error) {
    say(error.message);
  }
}

async function takePushes() {
  try {
    const { key } = await ask('GET', 'api/push/key');
    const worker = await navigator.serviceWorker.register('sw.js');
    const subscription = await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
    await ask('POST', 'api/me/devices', subscription.toJSON());
    at('pushNote').textContent = 'This device is told.';
  } catch (error) {
    say(error.message);
  }
}

at('login').onsubmit = (event) => {
  event.preventDefault();
  const { elements } = at('login');
  token = elements.token.value.trim();
  if (elements.train.value) given.set('train', elements.train.value.trim());
  start();
};
at('chosen').onsubmit = async (event) => {
  event.preventDefault();
  const { elements } = at('chosen');
  try {
    await ask('PUT', 'api/me/preferences', {
      language: elements.language.value,
      channels: ['EMAIL', 'PUSH'].filter((name) => elements[name].checked),
      muted: [...elements.kind].filter((box) => !box.checked).map((box) => box.value),
      quietFrom: elements.quietFrom.value || null,
      quietTo: elements.quietTo.value || null,
    });
    say('Saved.');
  } catch (error) {
    say(error.message);
  }
};
at('push').onclick = takePushes;
at('logout').onclick = () => {
  localStorage.removeItem('trainhub.token');
  location.replace('passenger.html');
};
setInterval(count, 1000);
start();
