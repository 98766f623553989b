/*
 * The control room: follows the hub's figures over a socket, and shows the view that the address
 * names. fleet.js has the list of trains, details.js one run, board.js the board of a station, hub_view.js
 * the hub itself, attention.js what the staff should look at; monitor.html has the structure, monitor.css the looks.
 */

import { shows, watchAddress } from './address.js';
import { showAttention, startAttention } from './attention.js';
import { drawBoard, showBoard, startBoard } from './board.js';
import { checkPicked, drawDetails, showPicked, startDetails } from './details.js';
import { put, ui } from './elements.js';
import { showTrains, startFleet } from './fleet.js';
import { drawHub, showHub, startHub } from './hub_view.js';
import { speak } from './page.js';
import { startStaff } from './staff.js';
import { showHead, showTiles } from './tiles.js';
import { connect } from './trainhub.js';
import { hub, learn, say, span, tell, useWords } from './wording.js';

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
  put(ui.link, say(`link.${link}`, { span: span(silence / 1000) }));
  const title = link === 'lost' ? 'title.lost' : shows('station') ? 'title.board' : 'title';
  document.title = say(title, { station: ui.boardTitle.textContent });
  if (link === before) return;
  document.body.dataset.link = link;
  // A screen reader reads the text only when its state changes, not each second.
  if (link === 'lost') tell(ui.linkNews, 'link.lost.news');
  else if (before === 'lost') tell(ui.linkNews, 'link.live.news');
  if (link === 'lost') client.check();
  if (before === 'lost') checkPicked();
}

function speakIn(words) {
  useWords(words);
  if (!hub) return;
  for (const draw of [drawBoard, drawDetails, drawHub, show]) draw();
}

await speak(ui.language, speakIn, 'words.control');
put(ui.origin, location.origin);
watchAddress(() => { showBoard(); if (hub) { showHub(); showPicked(); showTrains(); } });
for (const start of [startFleet, startDetails, startBoard, startHub, showBoard]) start();
startStaff(() => { startAttention(); show(); });
client.followFleet(hear);
document.addEventListener('visibilitychange', () => document.hidden || show());
setInterval(showLink, 1000);
