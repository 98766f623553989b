/*
 * The list of trains: found, filtered, sorted, and walked by keyboard. Only a page of rows is drawn,
 * and a second later only what has changed in them.
 */

import { goTo, setQuery, shows } from './address.js';
import { copy, fill, mark, places, put, ui, write } from './elements.js';
import { amount, day, hub, join, name, number, overdueMinutes, putDelay, say, span, whereWords } from './wording.js';

const PAGE = 100; // rows drawn at a time, so that a phone scrolls smoothly
const SETTLE_MS = 5000; // the order stays for this long, so that no row moves away under a pointer

const field = ui.tools.elements;
const rows = new Map(); // run → its row and the row's places, for the rows drawn
let matching = []; // runs, in order
let limit = PAGE;
let settled = -Infinity;

const rank = ['RUNNING', 'SCHEDULED', 'COMPLETED', 'CANCELLED', 'CLOSED'];
const SORT = {
  number: (a, b) => (a.run < b.run ? -1 : 1),
  status: (a, b) => rank.indexOf(a.status) - rank.indexOf(b.status),
  zone: (a, b) => (a.zone ?? '').localeCompare(b.zone ?? ''),
  delay: (a, b) => (a.delayMinutes ?? 0) - (b.delayMinutes ?? 0),
  overdue: (a, b) => overdueMinutes(a) - overdueMinutes(b),
  sockets: (a, b) => a.sockets.total - b.sockets.total,
};
/** What the list can be narrowed to, apart from a status. */
const FILTER = {
  OVERDUE: overdueMinutes,
  LATE: ({ status, delayMinutes }) => status === 'RUNNING' && delayMinutes >= 15,
  NO_TTE: ({ status, sockets }) => status === 'RUNNING' && !sockets.ttes,
  SILENT: ({ status, sockets }) => status === 'RUNNING' && !sockets.total,
};
const wanted = (status) => FILTER[status] ?? ((train) => !status || train.status === status);

function sorting() {
  const falling = field.sort.value.startsWith('-');
  return { key: field.sort.value.replace('-', ''), falling, sign: falling ? -1 : 1 };
}

function arrange() {
  const { key, sign } = sorting();
  const sought = field.q.value.trim().toLowerCase();
  const text = ({ trainNo, trainName, station, next }) =>
    [trainNo, trainName, station?.code, name(station), next?.code, name(next)].join('\n').toLowerCase();
  const fits = wanted(field.status.value);
  const zone = field.zone.value;
  matching = hub.trains
    .filter((train) => fits(train) && (!zone || train.zone === zone) && (!sought || text(train).includes(sought)))
    .sort((a, b) => sign * SORT[key](a, b) || SORT.number(a, b))
    .map((train) => train.run);
  settled = performance.now();
}

/** Offers the zones of the trains that there are, besides the chosen one. */
function offerZones() {
  const { options, value } = field.zone;
  const zones = [...new Set([...hub.trains.map(({ zone }) => zone), value])].filter(Boolean).sort();
  field.zone.hidden = !zones.length;
  if ([...options].slice(1).map((each) => each.value).join() === zones.join()) return;
  field.zone.replaceChildren(options[0], ...zones.map((zone) => new Option(zone)));
  field.zone.value = value;
}

export function showTrains() {
  const trains = new Map(hub.trains.map((train) => [train.run, train]));
  if (performance.now() - settled > SETTLE_MS || matching.some((run) => !trains.has(run))) arrange();
  const drawn = new Set(matching.slice(0, limit));
  for (const [run, row] of rows) if (!drawn.has(run)) { row.el.remove(); rows.delete(run); }
  const focused = document.activeElement;
  let here = ui.rows.firstElementChild;
  for (const run of drawn) {
    const el = showRow(trains.get(run));
    if (el === here) here = here.nextElementSibling;
    else ui.rows.insertBefore(el, here);
  }
  if (ui.rows.contains(focused)) focused.focus({ preventScroll: true }); // lost where its row was moved
  offerZones();
  showAmounts();
}

function showAmounts() {
  const [all, found] = [hub.trains.length, matching.length];
  put(ui.count, found === all ? number(all) : say('of', { count: found, all }));
  put(ui.more, say('fleet.more', { count: Math.min(PAGE, found - limit), all: found }));
  ui.more.hidden = found <= limit;
  ui.table.hidden = !found;
  ui.noMatch.hidden = !all || found > 0;
  ui.tools.hidden = !all;
  ui.empty.hidden = all > 0;
}

function newRow(run) {
  const el = copy('train');
  const row = { el, ...places(el) };
  rows.set(run, row);
  el.dataset.run = run;
  return row;
}

function showRow(train) {
  const row = rows.get(train.run) ?? newRow(train.run);
  showTrain(row, train);
  mark(row.el, 'status', train.status);
  mark(row.el, 'picked', String(train.run === shows('run')));
  return row.el;
}

/** Shows a train's figures, in its row or in the details, as far as these have a place for them. */
export function showTrain(place, train) {
  const { status, stations, index, departed, next, booked, aboard, noShow, sockets } = train;
  const { total, passengers, ttes, admins, others } = sockets;
  write(place, {
    number: train.trainNo, name: train.trainName, date: join(day(train.startDate), train.zone), status: say(`status.${status}`),
    ...whereWords(train), along: say('of', { count: index + 1, all: stations }),
    aboard: say('of', { count: aboard ?? '–', all: booked ?? '–' }), nt: amount(noShow, 'fleet.nt'),
    sockets: number(total), socketWord: say('fleet.sockets', { count: total }),
    roleFigures: total ? `${passengers} / ${ttes} / ${admins}` : '',
    roles: join(passengers && amount(passengers, 'role.passengers'), ttes && amount(ttes, 'role.ttes'),
      admins && amount(admins, 'role.admins'), others && amount(others, 'role.others')),
  });
  fill(place.bar, index + (departed && next ? 0.5 : 0), stations - 1);
  putDelay(place.delay, status === 'CANCELLED' ? null : train.delayMinutes);
  const minutes = overdueMinutes(train);
  put(place.overdue, minutes ? say('fleet.overdue', { span: span(minutes * 60) }) : '');
}

function choose() {
  const { key, falling } = sorting();
  for (const { dataset, parentElement: head } of ui.head.querySelectorAll('[data-sort]')) {
    head.ariaSort = dataset.sort !== key ? null : falling ? 'descending' : 'ascending';
  }
  limit = PAGE;
  settled = -Infinity;
  if (hub) showTrains();
  // The address keeps it, for a reload of the page and for a wall screen's bookmark.
  const chosen = [...new FormData(ui.tools)].filter(([, value]) => value);
  setQuery(new URLSearchParams(chosen));
}

/** Narrows the list to a status, or to what FILTER names, and to nothing else. */
export function filterBy(status) {
  [field.q.value, field.zone.value, field.status.value] = ['', '', status];
  choose();
}

function sortBy(key) {
  const first = key === 'delay' || key === 'sockets' ? `-${key}` : key; // people look for the largest
  const second = first === key ? `-${key}` : key;
  field.sort.value = field.sort.value === first ? second : first;
  choose();
}

function recall() {
  const asked = new URLSearchParams(location.search);
  if (asked.get('zone')) field.zone.append(new Option(asked.get('zone')));
  for (const key of ['q', 'status', 'zone', 'sort']) if (asked.has(key)) field[key].value = asked.get(key);
  for (const select of [field.status, field.sort]) if (select.selectedIndex < 0) select.selectedIndex = 0;
}

const open = (target) => {
  const run = target.closest('tr')?.dataset.run;
  if (run) goTo({ run });
};

/** The buttons of the rows drawn, from top to bottom. */
const buttons = () => [...ui.rows.querySelectorAll('.name button')];

/** `/` goes to the search, arrows go from row to row; Enter opens a row, as it presses its button. */
function onKey(event) {
  const { key, target } = event;
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector('dialog:modal')) return;
  if (key === '/' && !target.closest('input, select, textarea')) {
    event.preventDefault();
    goTo({});
    field.q.focus();
    field.q.select();
  }
  const step = { ArrowDown: 1, ArrowUp: -1 }[key];
  if (!step || !(target === field.q || ui.rows.contains(target))) return;
  event.preventDefault();
  if (step > 0 && target.closest('tr') === ui.rows.lastElementChild && !ui.more.hidden) showMore();
  const all = buttons();
  const next = all[all.indexOf(target) + step];
  (next ?? (step < 0 ? field.q : target)).focus();
}

function showMore() {
  limit += PAGE;
  showTrains();
}

export function startFleet() {
  document.addEventListener('keydown', onKey);
  ui.tools.addEventListener('input', choose);
  ui.tools.addEventListener('submit', (event) => event.preventDefault());
  ui.clear.addEventListener('click', () => filterBy(''));
  ui.more.addEventListener('click', showMore);
  ui.head.addEventListener('click', ({ target }) => target.dataset.sort && sortBy(target.dataset.sort));
  ui.rows.addEventListener('click', ({ target }) => open(target));
  recall();
  choose();
}
