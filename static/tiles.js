/* The header's time and version, and the tiles with the figures of the hub itself. */

import { fill, mark, ui, write } from './elements.js';
import { amount, codeWords, day, hub, join, number, say, span, zone } from './wording.js';

export function showHead() {
  const { version, uptimeSeconds, hubTime, demo } = hub;
  write(ui, { version, uptime: say('uptime', { span: span(uptimeSeconds) }) });
  write(ui, { today: day(hubTime), clock: hubTime.slice(11, 19), zone: zone(hubTime) });
  ui.demo.hidden = !demo;
}

export function showTiles() {
  const { trains, notifications: queue, writeBuffer: buffer, journal } = hub;
  const having = (status) => trains.filter((train) => train.status === status).length;
  const behind = (n) => n > 0 && amount(n, 'tile.behind');
  const runs = (status) => amount(having(status), `tile.runs.${status}`);
  write(ui, {
    running: number(having('RUNNING')),
    otherTrains: join(runs('SCHEDULED'), runs('COMPLETED'), having('CANCELLED') && runs('CANCELLED'), having('CLOSED') && runs('CLOSED')),
    open: number(hub.sockets),
    rooms: say('tile.rooms', { count: trains.filter((train) => train.sockets.total).length }),
    queueNote: join(amount(queue.sent, 'tile.sent'), amount(queue.failed, 'tile.failed'), amount(queue.retried, 'tile.retried'),
      queue.setAside && amount(queue.setAside, 'tile.set-aside'), behind(queue.behind),
      ...Object.entries(queue.channels).map(([channel, { lastError, depth }]) =>
        depth && lastError && say('tile.channel', { channel: codeWords(channel), error: lastError }))),
    bufferNote: join(flushWords(buffer), behind(buffer.behind), buffer.refused && amount(buffer.refused, 'tile.refused')),
    records: number(journal.records),
    commit: say('tile.commit', { time: amount(journal.lastCommitMillis, 'unit.ms') }),
    warning: say('warning', { reason: buffer.failing }),
  });
  ui.warning.hidden = !buffer.failing;
  showDepth('queue', queue);
  showDepth('buffer', buffer);
}

function showDepth(tile, { depth, capacity, failing }) {
  write(ui, { [`${tile}Depth`]: number(depth), [`${tile}Room`]: say('tile.room', { count: capacity }) });
  fill(ui[`${tile}Bar`], depth, capacity);
  mark(ui[tile], 'state', failing ? 'failing' : depth >= capacity * 0.8 ? 'filling' : 'well');
}

function flushWords({ lastFlush }) {
  if (!lastFlush) return say('tile.no-flush');
  const ago = (Date.parse(hub.serverTime) - Date.parse(lastFlush.at)) / 1000;
  return join(say('tile.flushed', { span: span(ago) }), amount(lastFlush.documents, 'tile.documents'), amount(lastFlush.millis, 'unit.ms'));
}
