/*
 * The control room: follows the hub's figures over a socket, and shows the view that the address
 * names. fleet.js has the list of trains, details.js one run, board.js the board of a station, hub_view.js
 * the hub itself, attention.js what the staff should look at; monitor.html has the structure, monitor.css the looks.
 */

import { shows, watchAddress } from './address.js';
import { showAttention, startAttention } from './attention.js';
import { showBoard, startBoard } from './board.js';
import { checkPicked, showPicked, startDetails } from './details.js';
import { put, ui } from './elements.js';
import { showTrains, startFleet } from './fleet.js';
import { showHub, startHub } from './hub_view.js';
import { startStaff } from './staff.js';
import { showHead, showTiles } from './tiles.js';
import { connect } from './trainhub.js';
import { hub, learn, span } from './wording.js';

const SILENT_MS = 5000; // the hub's figures come each second

let heardAt = -Infinity; // when the newest figures came
let latest = null;
const client = connect('ws');

function hear(figures) {
  // A wall screen stays open for weeks: after an upgrade of the hub it needs the new page.
  if (latest && latest.version !== figures.version) return location.reload();
  [latest, heardAt] = [figures, performance.now()];
  if (!document.hidden) show();
}

function show() {
  if (!latest) return;
  learn(latest);
  for (const part of [showHead, showAttention, showTiles, showTrains, showPicked, showHub]) part();
  showLink();
}

function showLink() {
  const before = document.body.dataset.link;
  const silence = performance.now() - heardAt;
  const link = silence < SILENT_MS ? 'live' : hub ? 'lost' : 'waiting';
  const lost = `no answer for ${span(silence / 1000)}, trying again`;
  put(ui.link, { lost, live: 'live', waiting: 'connecting…' }[link]);
  const title = link === 'lost' ? 'No answer · ' : shows('station') ? `${ui.boardTitle.textContent} · ` : '';
  document.title = `${title}trainhub`;
  if (link === before) return;
  document.body.dataset.link = link;
  // A screen reader reads the text only when its state changes, not each second.
  if (link === 'lost') put(ui.linkNews, 'The hub does not answer.');
  else if (before === 'lost') put(ui.linkNews, 'The hub answers again.');
  if (link === 'lost') client.check();
  if (before === 'lost') checkPicked();
}

put(ui.origin, location.origin);
watchAddress(() => { showBoard(); if (hub) { showHub(); showPicked(); showTrains(); } });
for (const start of [startFleet, startDetails, startBoard, startHub, showBoard]) start();
startStaff(() => { startAttention(); show(); });
client.followFleet(hear);
document.addEventListener('visibilitychange', () => document.hidden || show());
setInterval(showLink, 1000);
