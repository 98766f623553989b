/* The header's time and version, and the tiles with the figures of the hub itself. */

import { fill, mark, ui, write } from './elements.js';
import { amount, count, day, hub, join, number, span, zone } from './wording.js';

export function showHead() {
  const { version, uptimeSeconds, hubTime, demo } = hub;
  write(ui, { version, uptime: `up ${span(uptimeSeconds)}` });
  write(ui, { today: day(hubTime), clock: hubTime.slice(11, 19), zone: zone(hubTime) });
  ui.demo.hidden = !demo;
}

export function showTiles() {
  const { trains, notifications: queue, writeBuffer: buffer, journal } = hub;
  const having = (status) => trains.filter((train) => train.status === status).length;
  const behind = (n) => n > 0 && `${count(n, 'record')} behind`;
  write(ui, {
    running: number(having('RUNNING')),
    otherTrains: join(amount(having('SCHEDULED'), 'scheduled'), amount(having('COMPLETED'), 'completed'),
      having('CANCELLED') && amount(having('CANCELLED'), 'cancelled'),
      having('CLOSED') && amount(having('CLOSED'), 'closed')),
    open: number(hub.sockets),
    rooms: `following ${count(trains.filter((train) => train.sockets.total).length, 'train')}`,
    queueNote: join(amount(queue.sent, 'sent'), amount(queue.failed, 'failed'), amount(queue.retried, 'retried'),
      queue.setAside && amount(queue.setAside, 'set aside'), behind(queue.behind),
      ...Object.entries(queue.channels).map(([channel, { lastError, depth }]) =>
        depth && lastError && `${channel}: ${lastError}`)),
    bufferNote: join(flushWords(buffer), behind(buffer.behind), buffer.refused && amount(buffer.refused, 'refused')),
    records: number(journal.records),
    commit: `last commit ${amount(journal.lastCommitMillis, 'ms')}`,
    warning: `Writing to the database fails: ${buffer.failing}`,
  });
  ui.warning.hidden = !buffer.failing;
  showDepth('queue', queue);
  showDepth('buffer', buffer);
}

function showDepth(tile, { depth, capacity, failing }) {
  write(ui, { [`${tile}Depth`]: number(depth), [`${tile}Room`]: `of ${number(capacity)}` });
  fill(ui[`${tile}Bar`], depth, capacity);
  mark(ui[tile], 'state', failing ? 'failing' : depth >= capacity * 0.8 ? 'filling' : 'well');
}

function flushWords({ lastFlush }) {
  if (!lastFlush) return 'no flush yet';
  const ago = (Date.parse(hub.serverTime) - Date.parse(lastFlush.at)) / 1000;
  return join(`flushed ${span(ago)} ago`, count(lastFlush.documents, 'document'), amount(lastFlush.millis, 'ms'));
}
