/*
 * The wording of figures, times and places, in the language of the page and by the newest figures of
 * the hub. Times are shown in the train's zone: the browser's zone may differ.
 */

import { mark, put } from './elements.js';

const HALF_A_DAY_MS = 12 * 3_600_000; // nearer than this, a time of day needs no date

const OVERDUE_MINUTES = 5; // reports come a little late

let words = null; // of the chosen language
const told = new Map(); // place → the name and the values of its text

export let hub = null; // the newest figures

export function learn(figures) { hub = figures; }

export const trainOf = (run) => hub?.trains.find((train) => train.run === run);

export const say = (name, values) => words.say(name, values);

/** Writes a text into a place of the page, now and whenever the language changes; '' empties the place. */
export function tell(el, name, values = {}) {
  told.set(el, [name, values]);
  put(el, name && say(name, values));
}

/** Speaks another language from now on. */
export function useWords(loaded) {
  words = loaded;
  for (const [el, [name, values]] of told) tell(el, name, values);
}

export const number = (n) => (n == null ? '–' : words.number(n));
/** A text with its `count`. A figure and its word stay on one line. */
export const amount = (n, name) => say(name, { count: n ?? '–' }).replaceAll(' ', '\u00a0');
export const join = (...parts) => parts.filter(Boolean).join(' · ');
/** A code of the hub in words. A newer hub may have codes that this page does not know. */
export const codeWords = (code) => (words.has(`code.${code}`) ? say(`code.${code}`) : code.toLowerCase().replaceAll('_', ' '));
export const isListed = (type) => words.has(`event.${type}`);
export const day = (iso) => words.shortDay(iso.slice(0, 10)).replaceAll(' ', '\u00a0');
export const zone = (iso) => /(Z|[+-]\d\d:\d\d)$/.exec(iso)?.[0] ?? '';
export const name = (station) => station?.name ?? station?.code ?? '';

/** The time of day of an ISO text, with the date and the zone where they are not those of `now`. */
export function clock(iso, now = hub.hubTime) {
  const near = Math.abs(Date.parse(iso) - Date.parse(now)) < HALF_A_DAY_MS;
  const date = near || iso.slice(0, 10) === now.slice(0, 10) ? '' : `${day(iso)} `;
  return date + iso.slice(11, 16) + (zone(iso) === zone(now) ? '' : ` ${zone(iso)}`);
}

/** The same moment in the hub's zone, for an event that has only a UTC timestamp. */
export function inHubZone(iso) {
  const ahead = Date.parse(`${hub.hubTime.slice(0, 19)}Z`) - Date.parse(hub.hubTime);
  return new Date(Date.parse(iso) + ahead).toISOString().slice(0, 19) + zone(hub.hubTime);
}

export const span = (seconds) => words.roughSpan(seconds * 1000);

export function delayWords(minutes) {
  if (minutes == null) return '';
  if (!minutes) return say('delay.none');
  return say(minutes > 0 ? 'delay.late' : 'delay.early', { count: Math.abs(minutes) });
}

/** For how many minutes a report of the train has been due; 0 for a few. */
export function overdueMinutes({ reportDue }) {
  const minutes = reportDue ? (Date.parse(hub.hubTime) - Date.parse(reportDue)) / 60_000 : 0;
  return minutes >= OVERDUE_MINUTES ? Math.floor(minutes) : 0;
}

export function putDelay(el, minutes) {
  put(el, delayWords(minutes));
  mark(el, 'late', minutes >= 15 ? 'very' : minutes > 0 ? 'yes' : 'no');
}

export function whereWords({ status, departed, station, next }) {
  const ahead = status === 'RUNNING' || status === 'SCHEDULED' ? next : null;
  const due = ahead?.expected ? clock(ahead.expected) : '';
  if (departed && ahead) return { where: `${name(station)} →`, next: name(ahead), due };
  const where = say(status === 'COMPLETED' ? 'where.arrived' : 'where.at', { station: name(station) });
  return { where, next: ahead ? say('where.next', { station: name(ahead) }) : '', due };
}
