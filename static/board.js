/*
 * The board of a station: the trains that are due there. `#station=NDLS` opens it, and `&screen=big`
 * makes it fill a screen in the hall, with no more on it than passengers need.
 */

import { adjust, goTo, linkTo, shows } from './address.js';
import { make, mark, put, showAll, ui } from './elements.js';
import { ask } from './staff.js';
import { clock, day, delayWords, name, say, tell } from './wording.js';

const ASK_MS = 10_000;
const MINUTE_MS = 60_000;

let code = null; // of the station shown
let timer = 0;
let attempt = 0; // an answer to an older question is void
let newest = null; // the newest answer with trains

async function renew() {
  const mine = ++attempt;
  clearTimeout(timer);
  const path = `api/stations/${encodeURIComponent(code)}?hours=${ui.boardForm.elements.hours.value}`;
  const answer = await ask(path).catch((error) => ({ error }));
  if (mine !== attempt || !code) return;
  timer = setTimeout(renew, ASK_MS);
  show(answer);
}

function show({ result, station, at, error }) {
  ui.board.dataset.state = error ? 'old' : 'live';
  const problem = error?.code ? 'hub.says' : 'board.away';
  tell(ui.boardNews, error ? problem : result.length ? '' : 'board.none', { reason: error?.message });
  if (error) return;
  newest = { result, at };
  tell(ui.boardTitle, 'board.title', { station: name(station) });
  put(ui.boardTime, at.slice(11, 16));
  drawBoard();
}

/** Shows the trains of the newest answer, in the language of the page. */
export function drawBoard() {
  if (!newest) return;
  const { result, at } = newest;
  showAll(ui.boardRows, 'due', result, (place, line, row) => showLine(place, line, row, at));
}

function showLine(place, line, row, at) {
  const { stop, origin, terminus } = line;
  const run = `${line.trainNo}/${line.startDate}`;
  const link = make('a', `${line.trainNo} ${line.trainName}`, { href: linkTo({ run }) });
  place.train.append(link, ' ', make('small', day(line.startDate)));
  put(place.from, stop.index ? name(origin) : say('board.starts'));
  put(place.to, stop.scheduledDeparture ? name(terminus) : say('board.ends'));
  mark(row, 'end', !stop.index ? 'from' : stop.scheduledDeparture ? 'no' : 'to');
  showTimes(place.comes, stop.scheduledArrival, stop.expectedArrival, at);
  showTimes(place.goes, stop.scheduledDeparture, stop.expectedDeparture, at);
  put(place.platform, stop.platform ?? '–');
  if (stop.platform && !stop.platformConfirmed) place.platform.append(' ', make('small', say('board.not-confirmed')));
  const [what, words] = stateOf(line, at);
  put(place.state, words);
  mark(row, 'what', what);
}

/** Shows when the train is expected, and the booked time where that is another. */
function showTimes(cell, booked, expected, at) {
  if (!booked) return;
  const [first, second] = [clock(booked, at), expected && clock(expected, at)];
  if (first !== second) cell.append(make('s', first), ' ');
  if (second) cell.append(make('b', second));
}

function stateOf({ status, stop, delayMinutes }, at) {
  if (status === 'CANCELLED') return ['gone', say('board.cancelled')];
  if (stop.skipped) return ['gone', say('board.skipped')];
  const delay = delayWords(delayMinutes);
  const next = stop.actualArrival ? stop.expectedDeparture : stop.expectedArrival ?? stop.expectedDeparture;
  if (Date.parse(at) - Date.parse(next) >= MINUTE_MS) return ['late', say('board.overdue', { time: clock(next, at) })];
  if (stop.actualArrival) return ['here', say('board.here', { delay })];
  return [delayMinutes > 0 ? 'late' : 'good', delay];
}

/** Shows the board of the station that the address names, or hides it. */
export function showBoard() {
  const asked = shows('station');
  document.body.dataset.view = asked !== null ? 'board' : shows('view') === 'hub' ? 'hub' : 'trains';
  const big = asked !== null && shows('screen') === 'big';
  document.body.dataset.screen = big ? 'big' : 'normal';
  tell(ui.bigScreen, big ? 'board.small' : 'board.big');
  ui.board.hidden = asked === null;
  if (asked === code) return;
  code = asked;
  clearTimeout(timer);
  attempt += 1;
  newest = null;
  ui.boardRows.replaceChildren();
  tell(ui.boardTitle, 'board.title', { station: code || say('board') });
  put(ui.boardTime, '');
  tell(ui.boardNews, code ? '' : 'board.enter');
  ui.boardForm.elements.code.value = code ?? '';
  if (code) renew();
}

export function startBoard() {
  const { elements } = ui.boardForm;
  ui.boardForm.addEventListener('submit', (event) => {
    event.preventDefault();
    goTo({ station: elements.code.value.trim().toUpperCase() });
  });
  elements.hours.addEventListener('change', () => code && renew());
  ui.bigScreen.addEventListener('click', () => adjust({ screen: shows('screen') === 'big' ? null : 'big' }));
  document.addEventListener('keydown', ({ key }) => key === 'Escape' && shows('screen') && adjust({ screen: null }));
  document.addEventListener('visibilitychange', () => !document.hidden && code && renew());
}
