/*
 * What needs attention, in sentences with links; nothing when all is well. Most of it is in the
 * figures that the page has anyway. One more read has the offers that no device has.
 */

import { goTo, linkTo } from './address.js';
import { mark, put, ui } from './elements.js';
import { filterBy } from './fleet.js';
import { showList } from './page.js';
import { ask, covers, staff } from './staff.js';
import { clock, codeWords, hub, name, overdueMinutes, say, span, whereWords } from './wording.js';

const ASK_MS = 3000;
const HIDDEN_ASK_MS = 30_000;
const NAMED = 5; // trains that get a sentence each; the rest is a sentence together
const LATE_SECONDS = 5; // a reader of the journal that is later is told
const OLD_SECONDS = 60; // a notification that waits longer is told
const LATELY_MS = 3_600_000;

let read = { unseenOffers: [], late: {} };
let trouble = null;
let samples = []; // [time, what happened so far]: of the last hour, as far as the page was open

/** One line: a sentence, and a link to what it is about. `key` keeps its element. */
const line = (key, text, parts) => ({ key, text, parts });

function trainLines(trains, key, sentence) {
  const named = trains.slice(0, NAMED).map((train) => line(`${key} ${train.run}`, sentence(train), { run: train.run }));
  const rest = trains.length - named.length;
  return rest > 0 ? [...named, line(key, say(`attention.more.${key}`, { count: rest }), { filter: key })] : named;
}

const nameOf = ({ trainNo, trainName }) => `${trainNo} ${trainName}`;

function overdueSentence(train) {
  const values = { train: nameOf(train), time: clock(train.reportDue), span: span(overdueMinutes(train) * 60) };
  if (train.departed) return say('attention.arrival', { ...values, station: name(train.next) });
  return say('attention.departure', { ...values, station: name(train.station) });
}

function* offerLines() {
  for (const { trainNo, startDate, offerId, berth, name: person, expiresAt } of read.unseenOffers) {
    const left = (Date.parse(expiresAt) - Date.parse(hub.hubTime)) / 1000;
    if (left <= 0) continue;
    const text = say('attention.offer', { train: trainNo, berth, name: person, span: span(left) });
    yield line(`offer ${offerId}`, text, { run: `${trainNo}/${startDate}`, tab: 'offers' });
  }
}

function* hubLines() {
  if (trouble) yield line('attention', say('attention.unread', { reason: trouble }));
  for (const sentence of hub.degraded) yield line(sentence, `${sentence[0].toUpperCase()}${sentence.slice(1)}.`);
  for (const [channel, { oldestSeconds, depth, lastError }] of Object.entries(hub.notifications.channels)) {
    if (oldestSeconds < OLD_SECONDS) continue;
    const values = { count: depth, channel: codeWords(channel), span: span(oldestSeconds), reason: lastError };
    yield line(channel, say(lastError ? 'attention.queue.failing' : 'attention.queue', values));
  }
  const late = read.late.mongodb ?? 0;
  if (late >= LATE_SECONDS && !hub.degraded.some((each) => each.includes('MongoDB'))) {
    yield line('mongodb', say('attention.mongodb', { span: span(late) }));
  }
  const { cutOff, tooOften, since } = lately();
  const within = span(since / 1000);
  if (cutOff) yield line('cut', say('attention.cut-off', { count: cutOff, span: within }));
  if (tooOften) yield line('often', say('attention.too-often', { count: tooOften, span: within }));
}

/** What has happened since the oldest sample: the hub counts from its start only. */
function lately() {
  const now = performance.now();
  const { cutOff, tooOften } = hub.clients;
  if (samples.some(([, each]) => each.cutOff > cutOff || each.tooOften > tooOften)) samples = []; // the hub was started again
  samples = samples.filter(([at]) => now - at < LATELY_MS);
  if (!samples.length || now - samples.at(-1)[0] > LATELY_MS / 60) samples.push([now, { cutOff, tooOften }]);
  const [at, first] = samples[0];
  return { cutOff: cutOff - first.cutOff, tooOften: tooOften - first.tooOften, since: now - at };
}

function lines() {
  const trains = hub.trains.filter(covers);
  const overdue = trains.filter(overdueMinutes).sort((a, b) => overdueMinutes(b) - overdueMinutes(a));
  const alone = trains.filter(({ status, sockets }) => status === 'RUNNING' && !sockets.ttes);
  return [
    ...offerLines(),
    ...trainLines(overdue, 'OVERDUE', overdueSentence),
    ...trainLines(alone, 'NO_TTE', (train) => say('attention.no-tte', { train: nameOf(train), where: whereWords(train).where })),
    ...hubLines(),
  ];
}

function showLine({ sentence }, { text, parts }) {
  const { filter = '', ...view } = parts ?? {};
  put(sentence, text);
  mark(sentence, 'filter', filter);
  if (parts) sentence.href = filter ? `?status=${filter}` : linkTo(view); // without a link it is a sentence
}

/** Shows the sentences, and changes only those that have changed, since a screen reader reads them. */
export function showAttention() {
  if (!staff()) return;
  const wanted = lines();
  ui.attention.hidden = false;
  ui.allWell.hidden = wanted.length > 0;
  showList(ui.attentionList, wanted, ({ key }) => key, 'sentence', showLine);
}

async function renew() {
  try {
    read = (await ask('api/attention')).result;
    trouble = null;
  } catch (error) {
    trouble = error.message;
  }
  setTimeout(renew, document.hidden ? HIDDEN_ASK_MS : ASK_MS);
}

export function startAttention() {
  ui.attentionList.addEventListener('click', (event) => {
    const { filter } = event.target.dataset;
    if (!filter) return;
    event.preventDefault();
    filterBy(filter);
    goTo({});
  });
  renew();
}
