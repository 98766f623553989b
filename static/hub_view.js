/*
 * The hub itself: its figures of the last hour as small charts, and for an ADMIN of all trains the
 * slowest rooms and the open connections, which can be searched and closed. `#view=hub` opens it.
 */

import { linkTo, shows } from './address.js';
import { put, showAll, ui, write } from './elements.js';
import { sure } from './give.js';
import { showList } from './page.js';
import { ask, staff } from './staff.js';
import { amount, clock, inHubZone, join, number, say, tell } from './wording.js';

const ASK_MS = 3000;
const MOST_ROOMS = 5; // shown
const CHART_MS = 10_000; // between two samples
const [WIDE, HIGH] = [240, 48]; // of a chart, in its own units
const SVG = 'http://www.w3.org/2000/svg';

let timer = 0;
let charted = -Infinity; // when the charts had their newest sample
let attempt = 0; // an answer to an older question is void
let hour = null; // the newest answers: the last hour's samples, the rooms, and the connections
let rooms = null;
let open = null;
let closing = false; // a question is open: the list stays as it is

const rate = (field) => ({ [field]: now }, { [field]: before }, seconds) => (now - before) / seconds;

/** Chart → the text of a value, and how a value follows from a sample and the sample before it. */
const CHARTS = {
  sockets: ['plain', ({ sockets }) => sockets.total],
  rooms: ['plain', ({ rooms }) => rooms],
  records: ['rate', rate('records')],
  sent: ['rate', rate('sent')],
  commit: ['ms', ({ commitMillis }) => commitMillis],
  flush: ['ms', ({ flushMillis }) => flushMillis],
  loop: ['ms', ({ loopMillis }) => loopMillis],
  memory: ['mb', ({ memoryBytes }) => memoryBytes / 1e6],
};

/** Draws values as a line from the left to the right; a value of null leaves a gap. */
function drawLine(values, most) {
  const line = document.createElementNS(SVG, 'polyline');
  const step = WIDE / Math.max(1, values.length - 1);
  const point = (value, i) => `${(i * step).toFixed(1)},${(HIGH - 1 - ((HIGH - 2) * value) / (most || 1)).toFixed(1)}`;
  line.setAttribute('points', values.map(point).join(' '));
  return line;
}

const rounded = (value) => (value < 10 ? Math.round(value * 10) / 10 : Math.round(value));

function showCharts() {
  const { seconds, samples } = hour;
  const pairs = samples.slice(1).map((sample, i) => [sample, samples[i]]);
  ui.noHour.hidden = pairs.length > 0;
  showAll(ui.charts, 'chart', pairs.length ? Object.entries(CHARTS) : [], (place, [chart, [unit, value]]) => {
    const values = pairs.map(([now, before]) => value(now, before, seconds));
    const most = Math.max(...values);
    const text = (each) => say(`unit.${unit}`, { count: rounded(each) });
    write(place, { title: say(`chart.${chart}`), now: text(values.at(-1)), most: say('chart.most', { value: text(most) }) });
    place.picture.append(drawLine(values, most));
  });
  const { passengers, ttes, admins, others } = samples.at(-1)?.sockets ?? {};
  put(ui.byRole, samples.length ? join(amount(passengers, 'role.passengers'), amount(ttes, 'role.ttes'), amount(admins, 'role.admins'), amount(others, 'role.others')) : '');
}

const nameOf = ({ user, role }) => (user ? `${user}, ${role}` : say('hub.no-token'));

async function close(connection) {
  closing = true;
  const yes = await sure(say('ask.close', { address: connection.address, who: nameOf(connection) }));
  closing = false;
  if (!yes) return;
  try {
    const { result } = await ask(`api/connections/${connection.clientId}`, null, null, 'DELETE');
    tell(ui.connectionNews, result.closed ? 'hub.closed' : 'hub.gone');
  } catch ({ message }) {
    tell(ui.connectionNews, 'hub.not-closed', { reason: message });
  }
  renew();
}

function showConnection(place, connection) {
  const { clientId, address, runs, fleet, since, behind } = connection;
  write(place, {
    name: nameOf(connection), address,
    since: say('hub.since', { time: clock(inHubZone(since)) }),
    behind: behind ? say('hub.behind', { count: behind }) : '',
    runs: join(...runs, fleet && say('hub.fleet')),
  });
  place.close.ariaLabel = say('hub.close.label', { client: clientId });
  place.close.onclick = () => close(connection);
}

function showRoom(place, { run, sockets, slow, behind }) {
  write(place, {
    name: run, sockets: amount(sockets, 'hub.in-room'),
    behind: behind ? join(amount(slow, 'hub.slow'), say('hub.behind', { count: behind })) : '',
  });
  place.name.href = linkTo({ run });
}

/** Whether the token lets its holder see and close connections. */
const seesAll = () => staff()?.role === 'ADMIN' && staff().trains.includes('*');

async function renew() {
  const mine = ++attempt;
  clearTimeout(timer);
  const mayClose = seesAll();
  ui.connections.hidden = !mayClose;
  try {
    const sought = encodeURIComponent(ui.connectionForm.elements.sought.value.trim());
    const isDue = performance.now() - charted >= CHART_MS;
    const answers = await Promise.all([
      isDue && ask('api/hour'), mayClose && ask(`api/connections?q=${sought}`), mayClose && ask('api/rooms'),
    ]);
    if (mine !== attempt) return;
    tell(ui.hubNews, '');
    if (answers[0]) {
      hour = answers[0].result;
      if (hour.samples.length > 1) charted = performance.now();
      showCharts();
    }
    open = answers[1] || null;
    rooms = answers[2] || null;
    if (!closing) showOpen();
  } catch ({ message }) {
    if (mine === attempt) tell(ui.hubNews, 'cannot-show', { reason: message });
  }
  if (mine === attempt && shows('view') === 'hub') timer = setTimeout(renew, ASK_MS);
}

function showOpen() {
  if (!open) return;
  showList(ui.roomList, rooms.result.slice(0, MOST_ROOMS), ({ run }) => run, 'room', showRoom);
  const { result, total } = open;
  put(ui.connectionCount, result.length < total ? say('of', { count: result.length, all: total }) : number(total));
  showList(ui.connectionList, result, ({ clientId }) => clientId, 'connection', showConnection);
}

/** Shows the hub's view if the address names it. */
export function showHub() {
  const isShown = shows('view') === 'hub' && shows('station') === null;
  const wasShown = !ui.hub.hidden;
  ui.hub.hidden = !isShown;
  const isOfOther = ui.connections.hidden === seesAll(); // the hub has said whose token it is
  if (isShown && (!wasShown || isOfOther)) renew();
  if (!isShown) { clearTimeout(timer); attempt += 1; }
}

/** Shows the hub's view again, in another language. */
export function drawHub() {
  if (hour) showCharts();
  showOpen();
}

export function startHub() {
  ui.connectionForm.addEventListener('submit', (event) => event.preventDefault());
  ui.connectionForm.addEventListener('input', renew);
}
