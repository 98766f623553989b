/*
 * A run as its staff see it: the `run` of a SNAPSHOT with look-ups, and with the rules of time and
 * place that a page needs offline. A view never changes: each event makes the next one.
 */

import { fold } from './train_state.js';

const WAITS = new Set(['DUE', 'ABOARD']);

export const byBerth = (a, b) => (a.coach ?? '').localeCompare(b.coach ?? '', 'en', { numeric: true }) || a.berth - b.berth || a.index - b.index;
export const personOf = ({ pnr, index }) => `${pnr}/${index}`;

export class StaffView {
  #people;
  #places;

  constructor(run) {
    this.run = run;
    this.#people = new Map(run.passengers.map((each) => [personOf(each), each]));
    this.#places = new Map(run.stations.map(({ stop, index }) => [stop, index]));
  }

  /** Returns the view after the run's next event. Null means that only a fresh SNAPSHOT shows it. */
  after(event) {
    const run = fold(this.run, event);
    return run && new StaffView(run);
  }

  person(ref) { return this.#people.get(personOf(ref)); }

  stationName(code) { return this.run.stations[this.#places.get(code)]?.name ?? code; }

  /** The station's code of a stop: without the index of a station that is passed twice. */
  stationCode(code) { return this.run.stations[this.#places.get(code)]?.code ?? code; }

  /** The coaches in their order; '' stands for people without a berth. */
  coaches() {
    const seated = this.run.passengers.map(({ coach }) => coach ?? '');
    const codes = [...new Set([...this.run.figures.coaches.map(({ coach }) => coach), ...seated])];
    return codes.sort((a, b) => !a - !b || a.localeCompare(b, 'en', { numeric: true }));
  }

  /** Whether the train is on its way to the person's boarding station. */
  boardsLater({ from }) { return this.run.status === 'RUNNING' && this.#places.get(from) > this.run.index; }

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

  /** Whether the person can be given another berth: the journey is ahead, with a ticket for a berth. */
  isTravelling({ state, status, to }) {
    const isOver = this.run.status === 'COMPLETED' || this.run.status === 'CANCELLED';
    return !isOver && WAITS.has(state) && status !== 'NOSB' && this.#places.get(to) > this.run.index;
  }

  /** The people who can exchange berths with the person, in the order of the berths. */
  partners(person) {
    const { coach, berth, class: ticket, status } = person;
    const suits = (each) => each.coach !== null && (each.coach !== coach || each.berth !== berth)
      && each.class === ticket && each.status === status && this.isTravelling(each);
    return coach === null ? [] : this.run.passengers.filter(suits).sort(byBerth);
  }

  /** Whether a vacant berth is the person's to the destination. Half of a berth only goes with the other half. */
  fits({ coach, berth, half, to, offerId }, person) {
    const isOwn = coach === person.coach && berth === person.berth;
    return offerId === null && half === isOwn && this.#places.get(to) >= this.#places.get(person.to);
  }

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
