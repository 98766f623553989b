/*
 * The wording of figures, times and places, by the newest figures of the hub. Times are shown in
 * the train's zone: the browser's zone may differ.
 */

import { mark, put } from './elements.js';

const HALF_A_DAY_MS = 12 * 3_600_000; // nearer than this, a time of day needs no date

const OVERDUE_MINUTES = 5; // reports come a little late

export const STATUS = { RUNNING: 'Running', SCHEDULED: 'Scheduled', COMPLETED: 'Completed', CANCELLED: 'Cancelled', CLOSED: 'Closed' };

export let hub = null; // the newest figures

export function learn(figures) { hub = figures; }

export const trainOf = (run) => hub?.trains.find((train) => train.run === run);

const grouped = new Intl.NumberFormat('en');
const dayFormat = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' });
export const number = (n) => (n == null ? '–' : grouped.format(n));
export const amount = (n, word) => `${number(n)}\u00a0${word}`; // a figure and its word stay on one line
export const count = (n, word) => amount(n, n === 1 ? word : `${word}s`);
export const join = (...parts) => parts.filter(Boolean).join(' · ');
export const day = (iso) => dayFormat.format(new Date(`${iso.slice(0, 10)}T00:00Z`)).replace(' ', '\u00a0');
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

export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const [min, h, d] = [60, 3600, 86_400].map((unit) => Math.floor(s / unit));
  if (d) return `${d} d ${h % 24} h`;
  if (h) return `${h} h ${min % 60} min`;
  return min ? `${min} min` : `${s} s`;
}

export function delayWords(minutes) {
  if (minutes == null) return '';
  return minutes ? `${number(Math.abs(minutes))} min ${minutes > 0 ? 'late' : 'early'}` : 'on time';
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
  const where = `${status === 'COMPLETED' ? 'arrived at' : 'at'} ${name(station)}`;
  return { where, next: ahead ? `next ${name(ahead)}` : '', due };
}
