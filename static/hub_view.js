/*
 * The hub itself: its figures of the last hour as small charts, and for an ADMIN of all trains the
 * open connections, which can be searched and closed. `#view=hub` opens it.
 */

import { shows } from './address.js';
import { put, showAll, ui, write } from './elements.js';
import { sure } from './give.js';
import { showList } from './page.js';
import { ask, staff } from './staff.js';
import { clock, count, inHubZone, join, number } from './wording.js';

const ASK_MS = 3000;
const CHART_MS = 10_000; // between two samples
const [WIDE, HIGH] = [240, 48]; // of a chart, in its own units
const SVG = 'http://www.w3.org/2000/svg';

let timer = 0;
let charted = -Infinity; // when the charts were drawn
let attempt = 0; // an answer to an older question is void
let closing = false; // a question is open: the list stays as it is

const rate = (field) => ({ [field]: now }, { [field]: before }, seconds) => (now - before) / seconds;

/** Title, unit, and how a value follows from a sample and the sample before it. */
const CHARTS = [
  ['Sockets', '', ({ sockets }) => sockets.total],
  ['Rooms', '', ({ rooms }) => rooms],
  ['Records written', 'a second', rate('records')],
  ['Notifications sent', 'a second', rate('sent')],
  ['Last commit', 'ms', ({ commitMillis }) => commitMillis],
  ['Last flush to MongoDB', 'ms', ({ flushMillis }) => flushMillis],
  ['Longest turn of the loop', 'ms', ({ loopMillis }) => loopMillis],
  ['Memory', 'MB', ({ memoryBytes }) => memoryBytes / 1e6],
];

/** Draws values as a line from the left to the right; a value of null leaves a gap. */
function drawLine(values, most) {
  const line = document.createElementNS(SVG, 'polyline');
  const step = WIDE / Math.max(1, values.length - 1);
  const point = (value, i) => `${(i * step).toFixed(1)},${(HIGH - 1 - ((HIGH - 2) * value) / (most || 1)).toFixed(1)}`;
  line.setAttribute('points', values.map(point).join(' '));
  return line;
}

const rounded = (value) => (value < 10 ? Math.round(value * 10) / 10 : Math.round(value));

function showCharts({ seconds, samples }) {
  const pairs = samples.slice(1).map((sample, i) => [sample, samples[i]]);
  if (pairs.length) charted = performance.now();
  ui.noHour.hidden = pairs.length > 0;
  showAll(ui.charts, 'chart', pairs.length ? CHARTS : [], (place, [title, unit, value]) => {
    const values = pairs.map(([now, before]) => value(now, before, seconds));
    const most = Math.max(...values);
    const text = (each) => join(`${number(rounded(each))} ${unit}`.trim());
    write(place, { title, now: text(values.at(-1)), most: `at most ${text(most)}` });
    place.picture.append(drawLine(values, most));
  });
  const { passengers, ttes, admins, others } = samples.at(-1)?.sockets ?? {};
  put(ui.byRole, samples.length ? join(count(passengers, 'passenger'), count(ttes, 'TTE'), `${number(admins)} control`, count(others, 'other')) : '');
}

const nameOf = ({ user, role }) => (user ? `${user}, ${role}` : 'without a token');

async function close(connection) {
  closing = true;
  const yes = await sure(`Close the connection of ${connection.address} (${nameOf(connection)})? Its app may connect again.`);
  closing = false;
  if (!yes) return;
  try {
    const { result } = await ask(`api/connections/${connection.clientId}`, null, null, 'DELETE');
    put(ui.connectionNews, result.closed ? 'Closed.' : 'It was gone already.');
  } catch ({ message }) {
    put(ui.connectionNews, `Not closed: ${message}`);
  }
  renew();
}

function showConnection(place, connection) {
  const { clientId, address, runs, fleet, since, behind } = connection;
  write(place, {
    name: nameOf(connection), address,
    since: `since ${clock(inHubZone(since))}`,
    behind: behind ? `${number(behind)} bytes behind` : '',
    runs: join(...runs, fleet && 'the fleet'),
  });
  place.close.ariaLabel = `Close the connection ${clientId}`;
  place.close.onclick = () => close(connection);
}

async function renew() {
  const mine = ++attempt;
  clearTimeout(timer);
  const mayClose = staff()?.role === 'ADMIN' && staff().trains.includes('*');
  ui.connections.hidden = !mayClose;
  try {
    const sought = encodeURIComponent(ui.connectionForm.elements.sought.value.trim());
    const isDue = performance.now() - charted >= CHART_MS;
    const [hour, open] = await Promise.all([isDue && ask('api/hour'), mayClose && ask(`api/connections?q=${sought}`)]);
    if (mine !== attempt) return;
    put(ui.hubNews, '');
    if (hour) showCharts(hour.result);
    if (open && !closing) showOpen(open);
  } catch ({ message }) {
    if (mine === attempt) put(ui.hubNews, `This cannot be shown now: ${message}`);
  }
  if (mine === attempt && shows('view') === 'hub') timer = setTimeout(renew, ASK_MS);
}

function showOpen({ result, total }) {
  put(ui.connectionCount, result.length < total ? `${number(result.length)} of ${number(total)}` : number(total));
  showList(ui.connectionList, result, ({ clientId }) => clientId, 'connection', showConnection);
}

/** Shows the hub's view if the address names it. */
export function showHub() {
  const isShown = shows('view') === 'hub' && shows('station') === null;
  const wasShown = !ui.hub.hidden;
  ui.hub.hidden = !isShown;
  if (isShown && !wasShown) renew();
  if (!isShown) { clearTimeout(timer); attempt += 1; }
}

export function startHub() {
  ui.connectionForm.addEventListener('submit', (event) => event.preventDefault());
  ui.connectionForm.addEventListener('input', renew);
}
