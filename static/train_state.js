/** How an event changes the SNAPSHOT of a train that a client has: the event's own fields, and what follows from them. */

// Event → its changes: a part of the run, its fields, and a field of the event without which nothing changes.
// An exclamation mark before that field means that nothing changes with it.
// generated: changes in javascript
const CHANGES = {
  JOURNEY_STARTED: [['run', { status: 'RUNNING', index: '=station.index' }]],
  JOURNEY_COMPLETED: [['run', { status: 'COMPLETED' }]],
  TRAIN_CANCELLED: [['run', { status: 'CANCELLED' }]],
  RUN_CLOSED: [['run', { status: 'CLOSED' }]],
  TRAIN_REINSTATED: [['run', { status: '=status' }]],
  STATION_ARRIVAL: [
    ['run', { index: '=station.index', departed: false, delayMinutes: '=delayMinutes' }],
    ['stop', { actualArrival: '=actual', platform: '=platform', platformConfirmed: false }],
    ['stop', { platformConfirmed: true }, 'platform'],
    ['stop', { platformConfirmed: '=platformConfirmed' }, 'platformConfirmed'],
    ['checked', {}],
  ],
  STATION_DEPARTURE: [
    ['run', { departed: true, delayMinutes: '=delayMinutes' }],
    ['stop', { actualDeparture: '=actual', platform: '=platform' }],
  ],
  STATION_SKIPPED: [['stop', { skipped: true }]],
  SKIP_UNDONE: [['stop', { skipped: false }]],
  DELAY_UPDATE: [['run', { delayMinutes: '=delayMinutes' }]],
  PLATFORM_CHANGE: [['stop', { platform: '=platform', platformConfirmed: '=confirmed' }]],
  PASSENGER_BOARDED: [
    [
      'person',
      { state: 'ABOARD', markedAt: '=markedAt|timestamp', assumed: '=assumed', left: null },
    ],
  ],
  BOARDED_UNDONE: [['person', { state: 'DUE', markedAt: null, assumed: false, left: null }]],
  PASSENGER_ALIGHTED: [
    ['person', { state: 'ALIGHTED' }],
    ['person', { markedAt: '=markedAt|timestamp', left: '=left' }, 'left'],
  ],
  PASSENGER_UNCHECKED: [['person', { state: 'UNCHECKED' }]],
  PASSENGER_RESTORED: [['person', { state: '=state' }]],
  PASSENGER_CANCELLED: [['person', { state: 'CANCELLED' }]],
  BOARDING_CHANGED: [['person', { from: '=from' }]],
  NO_SHOW: [['person', { state: 'NT', markedAt: '=markedAt|timestamp', assumed: false }]],
  NO_SHOW_UNDONE: [['person', { state: 'DUE', markedAt: null, assumed: false, left: null }]],
  BERTH_LOST: [
    ['person', { coach: null, berth: null }],
    ['person', { state: 'DUE', markedAt: null, assumed: false, left: null }, '!blocked'],
  ],
  BERTHS_BLOCKED: [],
  BERTHS_UNBLOCKED: [],
  COACH_CHECKED: [['checked', {}]],
  SIGNED_ON: [['duty', { tte: '=tte', since: '=timestamp' }]],
  SIGNED_OFF: [['duty', { tte: null, since: null }]],
  REMARKED: [],
  BERTH_VACATED: [],
  BERTH_ALLOTTED: [
    ['person', { status: '=status', coach: '=coach', berth: '=berth' }],
    ['person', { upgradedFrom: '=upgradedFrom' }, 'upgradedFrom'],
  ],
  UPGRADE_PENDING: [
    [
      'opened',
      {
        offerId: '=offerId',
        pnr: '=pnr',
        index: '=index',
        coach: '=coach',
        berth: '=berth',
        berthType: '=berthType',
        to: '=to',
        expiresAt: '=expiresAt',
        state: 'OPEN',
        closedAt: null,
        answeredBy: null,
        oldCoach: '=oldCoach',
        oldBerth: '=oldBerth',
        from: '=from',
        name: '=name',
        cause: '=cause',
        reason: '=reason',
        passedOver: '=passedOver',
        delivered: 0,
        deliveredAt: null,
      },
    ],
  ],
  UPGRADE_OFFER: [
    [
      'opened',
      {
        offerId: '=offerId',
        pnr: '=pnr',
        index: '=index',
        coach: '=coach',
        berth: '=berth',
        berthType: '=berthType',
        to: '=to',
        expiresAt: '=expiresAt',
        state: 'OPEN',
        closedAt: null,
        answeredBy: null,
        oldCoach: '=person.coach',
        oldBerth: '=person.berth',
        from: '=from|run.station.code',
      },
    ],
  ],
  UPGRADE_DELIVERED: [
    ['offer', { delivered: '=devices', deliveredAt: '=offer.deliveredAt|timestamp' }],
  ],
  UPGRADE_CONFIRMED: [
    ['person', { status: 'CNF', coach: '=coach', berth: '=berth' }],
    ['person', { upgradedFrom: '=upgradedFrom' }, 'upgradedFrom'],
    ['closed', {}],
  ],
  UPGRADE_CLOSED: [['closed', {}]],
  CO_PASSENGER_CHANGED: [],
  CLOCK_CORRECTED: [['clock', {}]],
  ANNOUNCEMENT: [],
};
// end

/** Returns the run after an event. Null means that only a fresh SNAPSHOT shows it. The given run stays as it is. */
export function fold(run, { type, seq, timestamp, data }) {
  if (!Object.hasOwn(CHANGES, type)) return null;
  let next = { ...run, seq };
  for (const [part, fields, needed] of CHANGES[type]) {
    if (needed && isSaid(data, needed) === needed.startsWith('!')) continue;
    next = PARTS[part](next, data, (own) => filled(fields, { ...data, timestamp, run, ...own }));
    if (!next) return null;
  }
  return next;
}

/** Returns the run with other figures. */
export const withFigures = (run, figures) => ({ ...run, figures });

const isSaid = (data, name) => data[name.replace('!', '')] != null;
const isPerson = ({ pnr, index }) => (each) => each.pnr === pnr && each.index === index;
const isOffer = ({ offerId }) => (each) => each.offerId === offerId;

const PARTS = {
  run: (run, _, fill) => expected({ ...run, ...fill() }),
  stop(run, { station }, fill) {
    const stations = [...run.stations];
    stations[station.index] = { ...stations[station.index], ...fill() };
    return expected({ ...run, stations });
  },
  person(run, data, fill) {
    const place = run.passengers?.findIndex(isPerson(data)) ?? -1;
    if (place < 0) return null;
    const passengers = [...run.passengers];
    passengers[place] = { ...passengers[place], ...fill() };
    return { ...run, passengers };
  },
  opened(run, data, fill) {
    const person = run.passengers?.find(isPerson(data));
    return person ? { ...run, offers: [...run.offers, fill({ person })] } : null;
  },
  offer: (run, data, fill) => ({ ...run, offers: run.offers.map((offer) => (isOffer(data)(offer) ? { ...offer, ...fill({ offer }) } : offer)) }),
  closed: (run, data) => ({ ...run, offers: run.offers.filter((each) => !isOffer(data)(each)) }),
  /** A coach was checked at this station, or the train is at another one. */
  checked(run, { coach, station }) {
    if (!run.checked) return run;
    if (!coach) return { ...run, checked: [] };
    const { stop } = run.stations[station.index];
    const duty = run.duty.map((each) => (each.coach === coach ? { ...each, checked: stop } : each));
    return { ...run, duty, checked: [...new Set([...run.checked, coach])].sort() };
  },
  /** A TTE has these coaches from now on, or none. */
  duty(run, { tte, coaches }, fill) {
    const free = (each) => (each.tte === tte ? { ...each, tte: null, since: null } : each);
    return { ...run, duty: run.duty.map((each) => (coaches.includes(each.coach) ? { ...each, ...fill() } : free(each))) };
  },
  /** The hub's clock was set, so the times that it gave are moved. */
  clock: (run, { bySeconds }) => (run.passengers ? {
    ...run,
    passengers: run.passengers.map((each) => (each.markedAt ? { ...each, markedAt: later(each.markedAt, bySeconds) } : each)),
    offers: run.offers.map((each) => ({ ...each, expiresAt: later(each.expiresAt, bySeconds) })),
  } : run),
};

/** Returns the fields with their values. A text that begins with = says where the value is. */
function filled(fields, from) {
  const at = (path) => path.split('.').reduce((value, name) => value?.[name], from);
  const valueOf = (value) => (String(value).startsWith('=')
    ? value.slice(1).split('|').map(at).find((each) => each != null) ?? null
    : value);
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, valueOf(value)]));
}

/** Returns the run with what follows from its delay, its place and its stops: the expected times, and the next stop. */
function expected(run) {
  const { index, departed, delayMinutes } = run;
  const coming = run.stations.find((each) => each.index > index && !each.skipped);
  const late = Math.max(delayMinutes, 0) * 60;
  const stations = run.stations.map((stop) => ({
    ...stop,
    // A train that left early comes early to the next stop, and waits there for its booked departure.
    expectedArrival: stop.actualArrival ?? later(stop.scheduledArrival, departed && stop === coming ? delayMinutes * 60 : late),
    expectedDeparture: stop.actualDeparture ?? later(stop.scheduledDeparture, late),
  }));
  const { code, name } = stations[index];
  const next = coming ? { code: coming.code, name: coming.name, index: coming.index, expected: stations[coming.index].expectedArrival } : null;
  return { ...run, stations, station: { code, name }, next };
}

/** Returns a time of the hub, as it writes it, some seconds later. */
function later(moment, seconds) {
  if (!moment) return null;
  const [, clock, rest] = /^(.{19})(.*)$/.exec(moment);
  return new Date(Date.parse(`${clock}Z`) + seconds * 1000).toISOString().slice(0, 19) + rest;
}
