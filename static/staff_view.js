/*
 * A run as its staff see it: the `run` of a SNAPSHOT, which each later event keeps up to date.
 * It has what the pages show, and no rule but those of time and place that a page needs offline.
 */

const WAITS = new Set(['DUE', 'ABOARD']);

export const personOf = ({ pnr, index }) => `${pnr}/${index}`;

export class StaffView {
  #people;
  #places;

  constructor(run) {
    this.run = run;
    this.#people = new Map(run.passengers.map((each) => [personOf(each), each]));
    this.#places = new Map(run.stations.map(({ code, index }) => [code, index]));
  }

  person(ref) { return this.#people.get(personOf(ref)); }

  stationName(code) { return this.run.stations[this.#places.get(code)]?.name ?? code; }

  /** Applies the run's next event. Returns false if only a new SNAPSHOT can say what it changed. */
  evolve(event) {
    const change = CHANGES[event.type];
    const person = event.data.pnr && this.person(event.data);
    if (change === null || (change && event.data.pnr && !person)) return false;
    change?.(this.run, event.data, person, event.timestamp);
    this.run.seq = event.seq;
    return true;
  }

  /** The coaches in their order; '' stands for people without a berth. */
  coaches() {
    const seated = this.run.passengers.map(({ coach }) => coach ?? '');
    const codes = [...new Set([...this.run.figures.coaches.map(({ coach }) => coach), ...seated])];
    return codes.sort((a, b) => !a - !b || a.localeCompare(b, 'en', { numeric: true }));
  }

  /** Whether the train has reached the person's boarding station, and not the destination. */
  isUnderWay({ from, to }) {
    const { status, index } = this.run;
    return status === 'RUNNING' && this.#places.get(from) <= index && this.#places.get(to) > index;
  }

  /** Whether a TTE has to check the person now. An assumed boarding was seen by no TTE. */
  isToCheck(person) {
    return (person.state === 'DUE' || (person.state === 'ABOARD' && person.assumed)) && this.isUnderWay(person);
  }

  /** Whether the person came after the berth was given away: first in turn for the next one. */
  isClaimant({ state, status, coach }) { return state === 'ABOARD' && status === 'CNF' && coach === null; }

  /** When the undo of NT ends, in ms: Infinity without a limit, 0 if it cannot be undone any more. */
  undoEnds(person) {
    const { undoMinutes } = this.run;
    if (person.state !== 'NT' || !this.isUnderWay(person) || !this.#berthIsFree(person)) return 0;
    return undoMinutes === null ? Infinity : Date.parse(person.markedAt) + undoMinutes * 60_000;
  }

  #berthIsFree(person) {
    if (person.coach === null) return true;
    const others = this.run.passengers.filter((each) => each !== person && WAITS.has(each.state)
      && each.coach === person.coach && each.berth === person.berth && this.#meets(each, person));
    return person.status === 'RAC' ? others.length < 2 && others.every(({ status }) => status === 'RAC') : !others.length;
  }

  #meets(one, other) {
    const starts = [one, other].map(({ from }) => Math.max(this.#places.get(from), this.run.index));
    return Math.max(...starts) < Math.min(this.#places.get(one.to), this.#places.get(other.to));
  }
}

// --- what each event changes; null means that it does not say enough ---

const at = (station) => ({ code: station.code, name: station.name });
const unmarked = { state: 'DUE', markedAt: null, assumed: false, left: null };
const later = (moment, seconds) => new Date(Date.parse(moment) + seconds * 1000).toISOString();

function close(run, offerId, state, closedAt) {
  const offer = run.offers.find((each) => each.offerId === offerId);
  if (offer) Object.assign(offer, { state, closedAt });
}

const CHANGES = {
  TRAIN_REGISTERED: null,
  CHART_AMENDED: null,
  JOURNEY_STARTED(run, { station, next }) {
    Object.assign(run, { status: 'RUNNING', index: station.index, station: at(station), next });
  },
  JOURNEY_COMPLETED: (run) => Object.assign(run, { status: 'COMPLETED', next: null }),
  TRAIN_CANCELLED: (run) => Object.assign(run, { status: 'CANCELLED' }),
  STATION_ARRIVAL(run, { station, next, delayMinutes }) {
    Object.assign(run, { index: station.index, departed: false, station: at(station), next, delayMinutes, checked: [] });
  },
  STATION_DEPARTURE: (run, { next, delayMinutes }) => Object.assign(run, { departed: true, next, delayMinutes }),
  STATION_SKIPPED: (run, { next }) => Object.assign(run, { next }),
  SKIP_UNDONE: (run, { next }) => Object.assign(run, { next }),
  SHORT_TERMINATED: null,
  DELAY_UPDATE: (run, { next, delayMinutes }) => Object.assign(run, { next, delayMinutes }),
  PASSENGER_BOARDED(run, { coach, berth, markedAt, assumed }, person, timestamp) {
    Object.assign(person, { state: 'ABOARD', coach, berth, assumed, markedAt: markedAt ?? timestamp, left: null });
  },
  BOARDED_UNDONE: (run, data, person) => Object.assign(person, unmarked),
  PASSENGER_ALIGHTED(run, { left, markedAt }, person, timestamp) {
    Object.assign(person, { state: 'ALIGHTED' }, left && { left, markedAt: markedAt ?? timestamp });
  },
  PASSENGER_UNCHECKED: (run, data, person) => Object.assign(person, { state: 'UNCHECKED' }),
  PASSENGER_CANCELLED: (run, data, person) => Object.assign(person, { state: 'CANCELLED' }),
  BOARDING_CHANGED: (run, { from }, person) => Object.assign(person, { from }),
  NO_SHOW(run, { markedAt }, person, timestamp) {
    Object.assign(person, { state: 'NT', assumed: false, markedAt: markedAt ?? timestamp });
  },
  NO_SHOW_UNDONE: (run, data, person) => Object.assign(person, unmarked),
  BERTH_LOST(run, { blocked }, person) {
    Object.assign(person, blocked ? {} : unmarked, { coach: null, berth: null });
  },
  BERTH_ALLOTTED(run, { coach, berth, status }, person) {
    const booked = `${person.status}${person.number === null ? '' : ` ${person.number}`}`;
    const upgradedFrom = person.status === status ? person.upgradedFrom : booked;
    Object.assign(person, { coach, berth, status, upgradedFrom });
  },
  COACH_CHECKED: (run, { coach }) => { run.checked = [...new Set([...run.checked, coach])]; },
  UPGRADE_PENDING(run, { user, status, number, ...offer }) {
    run.offers.push({ ...offer, state: 'OPEN', delivered: 0, closedAt: null });
  },
  UPGRADE_DELIVERED(run, { offerId, devices }) {
    const offer = run.offers.find((each) => each.offerId === offerId);
    if (offer) offer.delivered = devices;
  },
  UPGRADE_CONFIRMED(run, { coach, berth, status, number, offerId }, person, timestamp) {
    const upgradedFrom = status === 'CNF' ? person.upgradedFrom : `${status}${number === null ? '' : ` ${number}`}`;
    Object.assign(person, { coach, berth, status: 'CNF', upgradedFrom });
    close(run, offerId, 'ACCEPTED', timestamp);
  },
  UPGRADE_CLOSED: (run, { offerId, outcome }, person, timestamp) => close(run, offerId, outcome, timestamp),
  CLOCK_CORRECTED(run, { bySeconds }) {
    for (const each of run.offers) if (each.state === 'OPEN') each.expiresAt = later(each.expiresAt, bySeconds);
    for (const each of run.passengers) if (each.markedAt) each.markedAt = later(each.markedAt, bySeconds);
  },
};
