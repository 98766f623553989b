/*
 * The control room: asks the hub for its figures each second, and shows the view that the address
 * names. fleet.js has the list of trains, details.js one run, board.js the board of a station,
 * attention.js what the staff should look at; monitor.html has the structure, monitor.css the looks.
 */

import { shows, watchAddress } from './address.js';
import { showAttention, startAttention } from './attention.js';
import { showBoard, startBoard } from './board.js';
import { checkPicked, showPicked, startDetails } from './details.js';
import { put, ui } from './elements.js';
import { showTrains, startFleet } from './fleet.js';
import { startStaff } from './staff.js';
import { showHead, showTiles } from './tiles.js';
import { hub, learn, span } from './wording.js';

const POLL_MS = 1000;
const HIDDEN_POLL_MS = 10_000;
const TIMEOUT_MS = 5000;

let asking = false;
let answered = performance.now();
let trouble = null;
let nextPoll = 0;

async function ask() {
  const response = await fetch('api/monitor', { cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (response.ok) return response.json();
  trouble = `the hub answers ${response.status}`;
  return null;
}

async function poll() {
  if (asking) return;
  asking = true;
  clearTimeout(nextPoll);
  const began = performance.now();
  const answer = await ask().catch(() => { trouble = 'no answer'; });
  const rest = (document.hidden ? HIDDEN_POLL_MS : POLL_MS) - (performance.now() - began);
  nextPoll = setTimeout(poll, Math.max(rest, POLL_MS / 4));
  asking = false;
  if (answer) show(answer);
  showLink();
}

function show(answer) {
  // A wall screen stays open for weeks: after an upgrade of the hub it needs the new page.
  if (hub && hub.version !== answer.version) return location.reload();
  learn(answer);
  [trouble, answered] = [null, performance.now()];
  for (const part of [showHead, showAttention, showTiles, showTrains, showPicked]) part();
}

function showLink() {
  const before = document.body.dataset.link;
  const link = trouble ? 'lost' : hub ? 'live' : 'waiting';
  const lost = `${trouble} for ${span((performance.now() - answered) / 1000)}, trying again`;
  put(ui.link, { lost, live: 'live', waiting: 'connecting…' }[link]);
  const title = link === 'lost' ? 'No answer · ' : shows('station') ? `${ui.boardTitle.textContent} · ` : '';
  document.title = `${title}trainhub`;
  if (link === before) return;
  document.body.dataset.link = link;
  // A screen reader reads the text only when its state changes, not each second.
  if (link === 'lost') put(ui.linkNews, 'The hub does not answer.');
  else if (before === 'lost') put(ui.linkNews, 'The hub answers again.');
  if (before === 'lost') checkPicked();
}

put(ui.origin, location.origin);
watchAddress(() => { showBoard(); if (hub) { showPicked(); showTrains(); } });
for (const start of [startFleet, startDetails, startBoard, showBoard, poll]) start();
startStaff(() => { startAttention(); if (hub) show(hub); });
document.addEventListener('visibilitychange', () => document.hidden || poll());
setInterval(showLink, 1000);
