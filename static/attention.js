/*
 * What needs attention, in sentences with links; nothing when all is well. Most of it is in the
 * figures that the page has anyway. One more read has the offers that no device has.
 */

import { goTo, linkTo } from './address.js';
import { mark, put, ui } from './elements.js';
import { filterBy } from './fleet.js';
import { showList } from './page.js';
import { ask, covers, staff } from './staff.js';
import { amount, clock, count, hub, name, overdueMinutes, span, whereWords } from './wording.js';

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

function trainLines(trains, key, sentence, together) {
  const named = trains.slice(0, NAMED).map((train) =>
    line(`${key} ${train.run}`, `${train.trainNo} ${train.trainName}: ${sentence(train)}`, { run: train.run }));
  const rest = trains.length - named.length;
  return rest > 0 ? [...named, line(key, together(rest), { filter: key })] : named;
}

function overdueSentence(train) {
  const what = train.departed ? `its arrival at ${name(train.next)}` : `its departure from ${name(train.station)}`;
  return `${what} was due at ${clock(train.reportDue)}, ${span(overdueMinutes(train) * 60)} ago, and is not reported.`;
}

function* offerLines() {
  for (const { trainNo, startDate, offerId, berth, name: person, expiresAt } of read.unseenOffers) {
    const left = (Date.parse(expiresAt) - Date.parse(hub.hubTime)) / 1000;
    if (left <= 0) continue;
    const text = `${trainNo}: the offer of ${berth} to ${person} ends in ${span(left)}, and no device has it.`;
    yield line(`offer ${offerId}`, text, { run: `${trainNo}/${startDate}`, tab: 'offers' });
  }
}

function* hubLines() {
  if (trouble) yield line('attention', `What needs attention cannot be read: ${trouble}`);
  for (const sentence of hub.degraded) yield line(sentence, `${sentence[0].toUpperCase()}${sentence.slice(1)}.`);
  for (const [channel, { oldestSeconds, depth, lastError }] of Object.entries(hub.notifications.channels)) {
    if (oldestSeconds < OLD_SECONDS) continue;
    const why = lastError ? `: ${lastError}` : '';
    yield line(channel, `${count(depth, 'notification')} by ${channel} wait, the oldest for ${span(oldestSeconds)}${why}.`);
  }
  const late = read.late.mongodb ?? 0;
  if (late >= LATE_SECONDS && !hub.degraded.some((each) => each.includes('MongoDB'))) {
    yield line('mongodb', `Changes of the last ${span(late)} are not in MongoDB yet.`);
  }
  const { cutOff, tooOften, since } = lately();
  const when = `within the last ${span(since / 1000)}`;
  if (cutOff) yield line('cut', `${count(cutOff, 'slow client')} ${cutOff === 1 ? 'was' : 'were'} cut off ${when}.`);
  if (tooOften) yield line('often', `${count(tooOften, 'request')} that came too often ${tooOften === 1 ? 'was' : 'were'} refused ${when}.`);
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
    ...trainLines(overdue, 'OVERDUE', overdueSentence, (rest) => `${amount(rest, 'more')} trains are overdue.`),
    ...trainLines(alone, 'NO_TTE', (train) => `no TTE is online (${whereWords(train).where}).`,
      (rest) => `${amount(rest, 'more')} running trains have no TTE online.`),
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
