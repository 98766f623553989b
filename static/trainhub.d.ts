/** Types of trainhub.js; docs/reference/protocol.md says what each message and command has. `make contract` writes the end. */

export const VERSION: string;
export type State = 'connecting' | 'live' | 'waiting' | 'refused' | 'closed';
/** A token, or what fetches a fresh one: at first, and whenever the hub refuses the last. */
export type Token = string | (() => string | null | Promise<string | null>);
export interface Run { trainNo: string; startDate: string }
export interface Since { epoch: string; seq: number }
export interface Identified { user: string | null; role: Role | null; trains: string[]; expiresAt?: string }
export interface Subscribed extends Run, Since { recovered: boolean }

export type EventType = keyof Told;
/** An event of that type, such as `EventOf<'STATION_ARRIVAL'>`. */
export interface EventOf<T extends EventType> extends Run { type: T; seq: number; timestamp: string; ack?: true; data: Told[T] }
/** Any event: `type` says which, and so what its `data` has. */
export type HubEvent = { [T in EventType]: EventOf<T> }[EventType];
export type FigureMessage = BoardingUpdate | PresenceUpdate;

export type CommandType = keyof Commands;
export type Fields<T extends CommandType> = Commands[T]['fields'];
/** What the hub answers a command. */
export type Answer<T extends CommandType> = Commands[T]['result'];
/** The fields may be left out where none is needed. */
type Given<F> = keyof F extends never ? [fields?: Record<string, never>, options?: CommandOptions]
  : {} extends F ? [fields?: F, options?: CommandOptions] : [fields: F, options?: CommandOptions];

/**
 * `code` is the protocol's, or one of the client's own, which docs/reference/errors.md lists: LAPSED, QUEUE_FULL, CLOSED,
 * SUPERSEDED, DISCARDED, UNKNOWN_COMMAND, NOT_STORED, OTHERS_WAIT, BROKEN.
 */
export class HubError extends Error {
  code: string;
  details: Record<string, any>;
  /** False if the client asks again by itself. */
  final: boolean;
}

export interface Options {
  token?: Token;
  /** Whose the token is, for a start without a network on which it cannot be fetched. */
  user?: string;
  /** The class to use where the platform has none: in Node, that of the package `ws`. */
  WebSocket?: any;
  /** Keeps commands that wait over a reload: localStorage, or anything like it. PNRs stand in it. */
  storage?: Pick<Storage, 'getItem' | 'setItem' | 'removeItem' | 'key' | 'length'>;
  /** Where in the storage; `trainhub`, unless two apps share one. */
  storageName?: string;
  /** How many commands may wait; 1000. */
  mostWaiting?: number;
  /** `refused` stays so until `identify` is given a fresh token. */
  onState?(state: State, detail: { reason?: string; retryInMs?: number }): void;
  /** What goes wrong and belongs to no promise: NOT_STORED, OTHERS_WAIT, BROKEN, and what has no `error` handler. */
  onError?(error: HubError): void;
  timing?: {
    backoffFirstMs?: number; backoffMostMs?: number; steadyMs?: number;
    quietMs?: number; askedMs?: number; answerMs?: number; slowMs?: number; renewMs?: number;
  };
}

/**
 * A function by an event's type, such as STATION_ARRIVAL, is called for those events as well. A handler may be async:
 * the next message comes when it has finished. Its own error is reported, and the next message comes all the same.
 */
export type Handlers = { [T in EventType]?: (event: EventOf<T>) => unknown } & {
  /** Each event once, in the order of its seq. */
  event?(event: HubEvent): unknown;
  /** The run as you may see it: it replaces all that came before. */
  snapshot?(snapshot: Snapshot): unknown;
  /** The newest figures. */
  figures?(figures: FigureMessage): unknown;
  /** The subscription's `state`, after each change of it. */
  state?(run: RunView): unknown;
  /** Another run took over from this one, which was subscribed to without a date. */
  nextRun?(next: NextRun): unknown;
  /** On each connection; what follows if `recovered` is false is a snapshot. */
  subscribed?(answer: Subscribed): unknown;
  /** The hub refuses this subscription. It has ended if `error.final`; else the client asks again. */
  error?(error: HubError): unknown;
};

export interface CommandOptions {
  /** The idempotency key, if the app has one of its own. */
  key?: string;
  /** How long it may wait to be answered; at most 23.5 hours, since the hub keeps keys for a day. */
  withinMs?: number;
}

export interface Waiting {
  type: CommandType;
  key: string;
  fields: Fields<CommandType>;
  /** Null if it is not known who asked; then `claim` or `discard` it. */
  user: string | null;
  askedAt: Date;
  answer: Promise<Answer<CommandType>>;
}

export interface Subscription {
  readonly trainNo: string;
  /** Known once it is `ready`, if it was not named. */
  readonly startDate: string | undefined;
  /** The place of the last message that a handler has accepted. */
  readonly since: Since | undefined;
  /**
   * The run as a fresh SNAPSHOT would have it: the last one, and what has come since. Null before the first. Each change makes
   * another object: do not change it.
   */
  readonly state: RunView | null;
  /** When the hub has answered first; rejects with a HubError. */
  readonly ready: Promise<Subscribed>;
  /** A command on this run, which needs no `trainNo`. */
  command<T extends CommandType>(
    type: T, ...given: Given<Omit<Fields<T>, 'trainNo' | 'startDate'>>
  ): Promise<Answer<T>>;
  unsubscribe(): void;
}

export interface Client {
  readonly state: State;
  readonly waiting: Waiting[];
  /** The identity that the hub has accepted, with `expiresAt`; null without a token. */
  readonly identity: Identified | null;
  /** The hub's time in ms since 1970, for countdowns. Null before the first connection. */
  now(): number | null;
  /** Without a token: log out. */
  identify(token?: Token, options?: { user?: string }): Promise<Identified>;
  subscribe(train: string | { trainNo: string; startDate?: string; since?: Since }, handlers?: Handlers): Subscription;
  unsubscribe(subscription: Subscription): void;
  /** The figures of the hub and of all runs, whenever they change: at most once a second. Null ends it. */
  followFleet(handler: ((figures: MonitorFigures) => void) | null): void;
  /** Asked as soon as the hub can be reached, one after the other, each until it is answered. */
  command<T extends CommandType>(type: T, ...given: Given<Fields<T>>): Promise<Answer<T>>;
  /** Ask a waiting command as the current user, who made it. Throws HubError. */
  claim(key: string): void;
  /** Drop a waiting command; its promise is rejected with DISCARDED. Throws HubError. */
  discard(key: string): void;
  check(): void;
  close(): void;
}

/** `url` may be relative to the page, and http(s) or ws(s): `connect('/ws')`. */
export function connect(url: string, options?: Options): Client;

// generated: types
/** The data of each event. */
export interface Told {
  /** The run was loaded from its chart, in place of an earlier one if there was one. Told to everyone. */
  TRAIN_REGISTERED: {
    trainName: TrainName;
    timezone: Zone;
    stations: Station[];
  };
  /** The chart has got bookings or coaches, or they were corrected or removed. Told to the staff. */
  CHART_AMENDED: {
    source: ChartSource;
    /** How many passengers are new. */
    added: number;
    /** How many passengers were corrected. */
    corrected: number;
    /** How many passengers were taken off. */
    removed: number;
    /** The lines that were left out. */
    rejected: Rejected[];
    /** What was not used of the lines that load. */
    warnings: Warned[];
  };
  /** The chart was amended: the passenger is new there, or has another journey or berth. Told to that passenger and the staff. */
  BOOKING_CHANGED: {
    pnr: Pnr;
    index: PersonIndex;
    name: PersonName;
    coach: CoachCode | null;
    berth: BerthNumber | null;
    from: Origin;
    to: Destination;
    status: BookingStatus;
    number: Number | null;
  };
  /** The chart has another name or contact of the passenger, or another user of the booking. Told to that passenger. */
  BOOKING_CORRECTED: {
    pnr: Pnr;
    index: PersonIndex;
  };
  /** The train stands at the station where it starts, and boarding begins. Told to everyone. */
  JOURNEY_STARTED: {
    station: StationRef;
    next: Ahead;
  };
  /** The train has reached the last station that it serves. Told to everyone. */
  JOURNEY_COMPLETED: {
    station: StationRef;
  };
  /** The run was cancelled. It ends where the train is. Told to everyone. */
  TRAIN_CANCELLED: {
    station: StationRef;
    reason: Note | null;
  };
  /** The end of the run was never reported and is long past. It ends where it was last. Told to everyone. */
  RUN_CLOSED: {
    station: StationRef;
  };
  /** The run was cancelled by mistake, or closed too early, and is as before. Told to everyone. */
  TRAIN_REINSTATED: {
    station: StationRef;
    status: RunStatus;
    next: Ahead;
  };
  /** The last arrival or departure was reported by mistake: the train is where it was before. Told to everyone. */
  REPORT_UNDONE: {
    station: StationRef;
    report: StationReport;
    next: Ahead;
  };
  /** The train has arrived at a station. Told to everyone. */
  STATION_ARRIVAL: {
    station: StationRef;
    scheduled: Moment;
    expected: Moment;
    actual: Moment;
    delayMinutes: DelayMinutes;
    platform: Platform | null;
    next: Ahead | null;
    /** False if the platform is only planned; null from an older hub. */
    platformConfirmed: boolean | null;
    /** Passengers who reached their destination here. */
    alighted: number;
  };
  /** The train has left a station. Told to everyone. */
  STATION_DEPARTURE: {
    station: StationRef;
    scheduled: Moment;
    expected: Moment;
    actual: Moment;
    delayMinutes: DelayMinutes;
    platform: Platform | null;
    next: Ahead | null;
  };
  /** The train will not stop at a station ahead. Told to everyone. */
  STATION_SKIPPED: {
    station: StationRef;
    next: Ahead | null;
  };
  /** The train will stop at a station after all. Told to everyone. */
  SKIP_UNDONE: {
    station: StationRef;
    next: Ahead;
  };
  /** The train will also stop at a station that was not on the chart. Told to everyone. */
  HALT_ADDED: {
    station: StationRef;
    /** The halt as a stop of the chart. */
    halt: Station;
    next: Ahead;
  };
  /** The train ends at this station, before its terminus, and serves no station after it. Told to everyone. */
  SHORT_TERMINATED: {
    station: StationRef;
    /** The stops that it does not serve any more. */
    notServed: StopCode[];
    reason: Note | null;
  };
  /** The train's delay was set. The expected times of the stops ahead move with it. Told to everyone. */
  DELAY_UPDATE: {
    delayMinutes: SetMinutes;
    reason: Note | null;
    next: Ahead | null;
  };
  /** The platform of a station was set. Told to everyone. */
  PLATFORM_CHANGE: {
    station: StationRef;
    platform: Platform;
    /** True if the platform is certain. */
    confirmed: boolean;
  };
  /** The passenger is aboard. Told to that passenger and the staff. */
  PASSENGER_BOARDED: {
    pnr: Pnr;
    index: PersonIndex;
    name: PersonName;
    coach: CoachCode | null;
    berth: BerthNumber | null;
    from: Origin;
    to: Destination;
    /** When the TTE made the mark, if the device said so. */
    markedAt: Moment | null;
    /** True if no TTE said so, and `boarding` is auto. */
    assumed: boolean;
  };
  /** The passenger was marked as boarded by mistake, and is due again. Told to that passenger and the staff. */
  BOARDED_UNDONE: {
    pnr: Pnr;
    index: PersonIndex;
    name: PersonName;
    coach: CoachCode | null;
    berth: BerthNumber | null;
    from: Origin;
    to: Destination;
  };
  /** The passenger has left the train: at the destination, or earlier for a reason. Told to that passenger and the staff. */
  PASSENGER_ALIGHTED: {
    pnr: Pnr;
    index: PersonIndex;
    name: PersonName;
    coach: CoachCode | null;
    berth: BerthNumber | null;
    from: Origin;
    to: Destination;
    /** When the TTE made the mark, if the device said so. */
    markedAt: Moment | null;
    /** Why before the destination; null at the destination. */
    left: AlightReason | null;
  };
  /** The passenger's journey is over, and the passenger was never marked. Told to that passenger and the staff. */
  PASSENGER_UNCHECKED: {
    pnr: Pnr;
    index: PersonIndex;
    name: PersonName;
    coach: CoachCode | null;
    berth: BerthNumber | null;
    from: Origin;
    to: Destination;
  };
  /** The passenger's journey goes on: its end, or the train's, was reported by mistake. Told to that passenger and the staff. */
  PASSENGER_RESTORED: {
    pnr: Pnr;
    index: PersonIndex;
    name: PersonName;
    coach: CoachCode | null;
    berth: BerthNumber | null;
    from: Origin;
    to: Destination;
    /** As before. */
    state: 'ABOARD' | 'DUE';
  };
  /** The passenger has cancelled the journey before boarding. Told to that passenger and the staff. */
  PASSENGER_CANCELLED: {
    pnr: Pnr;
    index: PersonIndex;
    name: PersonName;
    coach: CoachCode | null;
    berth: BerthNumber | null;
    from: Origin;
    to: Destination;
  };
  /** The passenger boards at another station, `from`. Told to that passenger and the staff. */
  BOARDING_CHANGED: {
    pnr: Pnr;
    index: PersonIndex;
    name: PersonName;
    coach: CoachCode | null;
    berth: BerthNumber | null;
    from: Origin;
    to: Destination;
    /** Where the passenger was to board before. */
    oldFrom: string;
  };
  /** The passenger has not turned up. Told to that passenger and the staff. */
  NO_SHOW: {
    pnr: Pnr;
    index: PersonIndex;
    name: PersonName;
    coach: CoachCode | null;
    berth: BerthNumber | null;
    from: Origin;
    to: Destination;
    /** When the TTE made the mark, if the device said so. */
    markedAt: Moment | null;
  };
  /** The passenger was marked NT, and is due again. Told to that passenger and the staff. */
  NO_SHOW_UNDONE: {
    pnr: Pnr;
    index: PersonIndex;
    name: PersonName;
    coach: CoachCode | null;
    berth: BerthNumber | null;
    from: Origin;
    to: Destination;
  };
  /** The passenger has no berth any more, and is first in turn for the next free one. Told to that passenger and the staff. */
  BERTH_LOST: {
    pnr: Pnr;
    index: PersonIndex;
    name: PersonName;
    coach: CoachCode | null;
    berth: BerthNumber | null;
    from: Origin;
    to: Destination;
    /** Why the berth was blocked; null if another passenger has it. */
    blocked: BlockReason | null;
  };
  /** Berths are not given to passengers from here on. Told to the staff. */
  BERTHS_BLOCKED: {
    station: StationRef;
    coach: CoachCode;
    /** The berths. */
    berths: BerthNumber[];
    reason: BlockReason;
  };
  /** Berths that were blocked are free from here on. Told to the staff. */
  BERTHS_UNBLOCKED: {
    station: StationRef;
    coach: CoachCode;
    /** The berths. */
    berths: BerthNumber[];
  };
  /** A TTE has checked everyone in a coach who was to board up to this station. Told to the staff. */
  COACH_CHECKED: {
    station: StationRef;
    coach: CoachCode;
  };
  /** A TTE is responsible for these coaches now, and for no others. Told to the staff. */
  SIGNED_ON: {
    station: StationRef;
    tte: TteUser;
    /** The coaches that it is about. */
    coaches: CoachCode[];
  };
  /** A TTE is not responsible for these coaches any more, and for no others either. Told to the staff. */
  SIGNED_OFF: {
    station: StationRef;
    tte: TteUser;
    /** The coaches that it is about. */
    coaches: CoachCode[];
  };
  /** The staff remarked something for the captaincy report. Told to the staff. */
  REMARKED: {
    station: StationRef;
    coach: CoachCode | null;
    text: RemarkText;
    /** The user who wrote it. */
    tte: TteUser | null;
  };
  /** A berth, or half of a side lower, is free from one station to another. Told to the staff. */
  BERTH_VACATED: {
    coach: CoachCode;
    berth: BerthNumber;
    class: ClassCode;
    from: Origin;
    to: Destination;
    cause: Cause;
    /** True for a berth of the ladies' quota. */
    ladies: boolean;
  };
  /** A TTE has given the passenger another berth, `coach` and `berth`, from `from_` on. Told to that passenger and the staff. */
  BERTH_ALLOTTED: {
    pnr: Pnr;
    index: PersonIndex;
    name: PersonName;
    coach: CoachCode;
    berth: BerthNumber;
    from: Origin;
    to: Destination;
    status: BookingStatus;
    oldCoach: CoachCode | null;
    oldBerth: BerthNumber | null;
    /** Why the TTE gave it; null if two exchange their berths. */
    allottedFor: AllotReason | null;
    upgradedFrom: UpgradedFrom | null;
  };
  /** A berth is held for a passenger: the staff's side of an offer, with the reason. Told to the staff. */
  UPGRADE_PENDING: {
    reason: Reasons;
    passedOver: Others;
    offerId: OfferId;
    user: UserId | null;
    pnr: Pnr;
    index: PersonIndex;
    name: PersonName;
    status: BookingStatus;
    number: Number | null;
    coach: CoachCode;
    berth: BerthNumber;
    berthType: BerthType;
    oldCoach: CoachCode | null;
    oldBerth: BerthNumber | null;
    from: Origin;
    to: Destination;
    cause: Cause;
    expiresAt: Moment;
  };
  /** A berth is held for a passenger, who may accept or deny it until the offer expires. Told to that passenger. */
  UPGRADE_OFFER: {
    pnr: Pnr;
    index: PersonIndex;
    offerId: OfferId;
    coach: CoachCode;
    berth: BerthNumber;
    berthType: BerthType;
    /** From where the berth would be theirs; null from an older hub. */
    from: string | null;
    to: Destination;
    expiresAt: Moment;
  };
  /** An offer has arrived on one more of the passenger's devices (ACK). Told to the staff. */
  UPGRADE_DELIVERED: {
    offerId: OfferId;
    pnr: Pnr;
    index: PersonIndex;
    /** The devices on which it has arrived; counted up to 16. */
    devices: number;
  };
  /** A passenger on RAC or WL has a berth: `coach` and `berth` are the new one. Told to that passenger and the staff. */
  UPGRADE_CONFIRMED: {
    pnr: Pnr;
    index: PersonIndex;
    name: PersonName;
    coach: CoachCode;
    berth: BerthNumber;
    from: Origin;
    to: Destination;
    offerId: OfferId | null;
    status: BookingStatus;
    number: Number | null;
    oldCoach: CoachCode | null;
    oldBerth: BerthNumber | null;
    cause: Cause;
    upgradedFrom: UpgradedFrom | null;
  };
  /** An offer ended without an upgrade: DENIED, EXPIRED or WITHDRAWN. Told to that passenger and the staff. */
  UPGRADE_CLOSED: {
    pnr: Pnr;
    index: PersonIndex;
    offerId: OfferId;
    /** How it ended. */
    outcome: 'DENIED' | 'EXPIRED' | 'WITHDRAWN';
  };
  /** The other holder of a side lower has moved: the berth is this passenger's alone. Told to that passenger. */
  CO_PASSENGER_CHANGED: {
    pnr: Pnr;
    index: PersonIndex;
    coach: CoachCode;
    berth: BerthNumber;
  };
  /** The hub's clock was set. `expiresAt` of each open offer of the run moves by `bySeconds`. Told to everyone. */
  CLOCK_CORRECTED: {
    /** Seconds that the clock was set forward; negative if back. */
    bySeconds: number;
  };
  /** The staff or a machine feed announces something. Told to the audience that was asked for: everyone, the staff, or one passenger. */
  ANNOUNCEMENT: {
    /** The announcement. */
    text: string;
    level: Level;
  };
}

/** The fields of each command, and what it is answered. */
export interface Commands {
  /** Load a run from its chart. By: ADMIN, SERVICE. */
  REGISTER_TRAIN: {
    fields: {
      trainNo: GivenTrainNo;
      trainName: TrainName;
      startDate: StartDate;
      zone?: RailwayZone | null;
      timezone?: Zone;
      policy?: Policy;
      boarding?: Boarding;
      /** The shortest journey that is upgraded, in km. */
      minUpgradeKm?: number;
      /** How long an offer stays open. */
      offerSeconds?: number;
      /** Whether passengers from 60, women from 45, and passengers with a `need` get a lower berth before others that fit, and are asked for one if they are confirmed higher up. */
      lowerFirst?: boolean;
      /** Who of the waiting list gets berths: all, those on partly confirmed PNRs, or none. */
      waitingList?: WaitingList;
      /** The kinds of waiting list in their turn. Other kinds come last. */
      waitingKinds?: WaitingKind[];
      /** Whether berths that no passenger booked are vacant for those who wait, once the train has left a station. */
      giveUnbooked?: boolean;
      /** How long after a departure a berth waits for a passenger with a better number who is due and not checked; null for not at all. */
      checkMinutes?: number | null;
      /** How long a no-show can be undone; without it, as long as the berth is free. */
      undoMinutes?: number | null;
      /** The stops, in running order. */
      stations: GivenStation[];
      coaches?: GivenCoach[] | null;
      /** A list, or one text in CSV with a header. */
      passengers?: GivenBooking[] | Csv | null;
    };
    result: Registered;
  };
  /** Add, correct and remove bookings and coaches of a run that has not ended. By: TTE, ADMIN, SERVICE. */
  AMEND_CHART: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      source: ChartSource;
      /** Coaches to add, or to correct if the train has the code and class. */
      coaches?: GivenCoach[] | null;
      /** People to add, or to correct if the chart has the PNR and index: a list, or CSV. */
      passengers?: GivenBooking[] | Csv | null;
      /** Coaches to remove, without passengers. */
      removeCoaches?: CoachCode[];
      /** People to take off: those who are DUE. */
      removePassengers?: GivenPersonRef[];
    };
    result: Result & Told['CHART_AMENDED'] | Unchanged;
  };
  /** Start the journey at the first station, or at a later one: boarding begins there. By: TTE, ADMIN, SERVICE. */
  START_JOURNEY: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      stationCode?: string | null;
    };
    result: Result & Told['JOURNEY_STARTED'];
  };
  /** Cancel the run. It ends where the train is. By: TTE, ADMIN. */
  CANCEL_TRAIN: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      reason?: Note | null;
    };
    result: Result & Told['TRAIN_CANCELLED'] | Unchanged;
  };
  /** Undo that a run was cancelled or closed: it is SCHEDULED or RUNNING again, as before. By: TTE, ADMIN. */
  REINSTATE_TRAIN: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
    };
    result: Result & Told['TRAIN_REINSTATED'] | Unchanged;
  };
  /** Report that the train has arrived at the next station. By: TTE, ADMIN, SERVICE. */
  ARRIVE: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      stationCode: StopCode;
      at?: ReportedAt | null;
      platform?: Platform | null;
    };
    result: Result & Told['STATION_ARRIVAL'];
  };
  /** Report that the train has left the station where it stood. By: TTE, ADMIN, SERVICE. */
  DEPART: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      stationCode: StopCode;
      at?: ReportedAt | null;
      platform?: Platform | null;
    };
    result: Result & Told['STATION_DEPARTURE'];
  };
  /** Undo the last arrival or departure that was reported, within ten minutes. By: TTE, ADMIN. */
  UNDO_REPORT: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      stationCode: StopCode;
      /** Which report of the station. */
      report: StationReport;
    };
    result: Result & Told['REPORT_UNDONE'];
  };
  /** Skip a station ahead, or the first one before the start: the train will not stop there. By: TTE, ADMIN, SERVICE. */
  SKIP_STATION: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      stationCode: StopCode;
    };
    result: Result & Told['STATION_SKIPPED'] | Unchanged;
  };
  /** Serve a station after all that was skipped or lies after an early end of the run. By: TTE, ADMIN, SERVICE. */
  UNDO_SKIP: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      stationCode: StopCode;
    };
    result: Result & Told['SKIP_UNDONE'] | Unchanged;
  };
  /** Stop also at a station ahead that is not on the chart, as on a diversion. By: TTE, ADMIN, SERVICE. */
  ADD_HALT: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      stationCode: StopCode;
      name: StationName;
      /** The stop of the chart before it. */
      after: string;
      arrival: HaltTime;
      departure: HaltTime;
      /** Kilometres from the first station; null means those of the stop before. */
      distanceKm?: number | null;
      platform?: Platform | null;
    };
    result: Result & Told['HALT_ADDED'];
  };
  /** End the run at a station before the terminus, where the train is or which is ahead. By: TTE, ADMIN. */
  SHORT_TERMINATE: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      stationCode: StopCode;
      reason?: Note | null;
    };
    result: Result & Told['SHORT_TERMINATED'] | Unchanged;
  };
  /** Set the train's delay. By: TTE, ADMIN, SERVICE. */
  SET_DELAY: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      delayMinutes: SetMinutes;
      reason?: Note | null;
    };
    result: Result & Told['DELAY_UPDATE'] | Unchanged;
  };
  /** Set the platform of a station ahead, or of the station where the train stands. By: TTE, ADMIN, SERVICE. */
  SET_PLATFORM: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      stationCode: StopCode;
      platform: Platform;
      /** True if the platform is certain. */
      confirmed?: boolean;
    };
    result: Result & Told['PLATFORM_CHANGE'] | Unchanged;
  };
  /** Mark a passenger as boarded (O), also one who was NT. By: TTE, ADMIN. */
  MARK_BOARDED: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      pnr: GivenPersonPnr;
      index: PersonPlace;
      at?: MarkedAt | null;
    };
    result: Result & Told['PASSENGER_BOARDED'] | Unchanged;
  };
  /** Mark a passenger as not turned up (NT). The berth is free from here on. By: TTE, ADMIN. */
  MARK_NO_SHOW: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      pnr: GivenPersonPnr;
      index: PersonPlace;
      at?: MarkedAt | null;
    };
    result: Result & Told['NO_SHOW'] | Unchanged;
  };
  /** Undo O: the passenger is due again. By: TTE, ADMIN. */
  UNDO_BOARDED: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      pnr: GivenPersonPnr;
      index: PersonPlace;
      at?: MarkedAt | null;
    };
    result: Result & Told['BOARDED_UNDONE'] | Unchanged;
  };
  /** Undo NT, as long as the berth is free and the chart's `undoMinutes` are not over. By: TTE, ADMIN. */
  UNDO_NO_SHOW: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      pnr: GivenPersonPnr;
      index: PersonPlace;
      at?: MarkedAt | null;
    };
    result: Result & Told['NO_SHOW_UNDONE'] | Unchanged;
  };
  /** Mark a passenger who has left the train early. The berth is free from here on. By: TTE, ADMIN. */
  ALIGHT: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      pnr: GivenPersonPnr;
      index: PersonPlace;
      at?: MarkedAt | null;
      /** Why. */
      reason: AlightReason;
    };
    result: Result & Told['PASSENGER_ALIGHTED'] | Unchanged;
  };
  /** Say that a coach is checked: those still due there do not hold up the turn any more. By: TTE, ADMIN. */
  CHECK_COACH: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      coach: CoachCode;
    };
    result: Result & Told['COACH_CHECKED'] | Unchanged;
  };
  /** Make a TTE responsible for exactly these coaches, until SIGN_OFF or another TTE's SIGN_ON. By: TTE, ADMIN. */
  SIGN_ON: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      tte?: string | null;
      /** The coaches. */
      coaches: CoachCode[];
    };
    result: Result & Told['SIGNED_ON'] | Unchanged;
  };
  /** End a TTE's duty. By: TTE, ADMIN. */
  SIGN_OFF: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      tte?: string | null;
    };
    result: Result & Told['SIGNED_OFF'] | Unchanged;
  };
  /** Write a remark into the captaincy report. By: TTE, ADMIN. */
  REMARK: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      text: RemarkText;
      coach?: string | null;
    };
    result: Result & Told['REMARKED'];
  };
  /** Block a berth, or a coach, from here on. Its passengers are first in turn for another. By: TTE, ADMIN. */
  BLOCK_BERTH: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      coach: CoachCode;
      /** The berth; without it, all berths of the coach. */
      berth?: number | null;
      /** Why. */
      reason: BlockReason;
    };
    result: Result & Told['BERTHS_BLOCKED'] | Unchanged;
  };
  /** Unblock a berth, or a coach: it is free from here on. By: TTE, ADMIN. */
  UNBLOCK_BERTH: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      coach: CoachCode;
      /** The berth; without it, all berths of the coach. */
      berth?: number | null;
    };
    result: Result & Told['BERTHS_UNBLOCKED'] | Unchanged;
  };
  /** Give a vacant berth to a passenger, also out of turn. The passenger is confirmed in it. By: TTE, ADMIN. */
  ALLOT_BERTH: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      pnr: GivenPersonPnr;
      index: PersonPlace;
      coach: CoachCode;
      berth: BerthNumber;
      /** Why. */
      reason: AllotReason;
      note?: Note | null;
    };
    result: Result & Told['BERTH_ALLOTTED'] | Unchanged;
  };
  /** Exchange the berths of two passengers. Both are confirmed, or both are on RAC. By: TTE, ADMIN. */
  SWAP_BERTHS: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      pnr: GivenPersonPnr;
      index: PersonPlace;
      otherPnr: GivenPersonPnr;
      otherIndex: PersonPlace;
      note?: Note | null;
    };
    result: Result & Told['BERTH_ALLOTTED'];
  };
  /** Cancel the journey of a passenger who has not boarded. By: that passenger, TTE, ADMIN. */
  CANCEL_JOURNEY: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      pnr: GivenPersonPnr;
      index: PersonPlace;
    };
    result: Result & Told['PASSENGER_CANCELLED'] | Unchanged;
  };
  /** Change where a passenger boards: once, to one of the next three stations. By: that passenger, TTE, ADMIN. */
  CHANGE_BOARDING: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      pnr: GivenPersonPnr;
      index: PersonPlace;
      stationCode: StopCode;
    };
    result: Result & Told['BOARDING_CHANGED'] | Unchanged;
  };
  /** Accept an offer: the passenger gets the berth. By: that passenger, TTE, ADMIN. */
  ACCEPT_OFFER: {
    fields: {
      trainNo?: GivenTrainNo;
      startDate?: StartDate | null;
      /** The id from UPGRADE_OFFER. */
      offerId: string;
    };
    result: Result & Told['UPGRADE_CONFIRMED'];
  };
  /** Deny an offer: the hub asks the next passenger. By: that passenger, TTE, ADMIN. */
  DENY_OFFER: {
    fields: {
      trainNo?: GivenTrainNo;
      startDate?: StartDate | null;
      /** The id from UPGRADE_OFFER. */
      offerId: string;
    };
    result: Result & Told['UPGRADE_CLOSED'];
  };
  /** Approve an offer under policy APPROVAL: the passenger gets the berth. By: TTE, ADMIN. */
  APPROVE_OFFER: {
    fields: {
      trainNo?: GivenTrainNo;
      startDate?: StartDate | null;
      /** The id from UPGRADE_OFFER. */
      offerId: string;
    };
    result: Result & Told['UPGRADE_CONFIRMED'];
  };
  /** Withdraw an offer. By: TTE, ADMIN. */
  WITHDRAW_OFFER: {
    fields: {
      trainNo?: GivenTrainNo;
      startDate?: StartDate | null;
      /** The id from UPGRADE_OFFER. */
      offerId: string;
    };
    result: Result & Told['UPGRADE_CLOSED'];
  };
  /** Send an announcement to everyone on the run, to the staff, or to one passenger. By: TTE, ADMIN, SERVICE. */
  ANNOUNCE: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      /** What to announce. */
      text: string;
      level?: Level;
      to?: To;
      user?: string | null;
    };
    result: Result & Told['ANNOUNCEMENT'];
  };
  /** Make many marks in one message. Each is accepted or refused by itself. By: TTE, ADMIN. */
  BATCH: {
    fields: {
      trainNo: GivenTrainNo;
      startDate?: StartDate | null;
      marks: GivenMark[];
    };
    result: BatchDone;
  };
}

/** The train's name. */
export type TrainName = string;

/** The time zone of the run. */
export type Zone = string;

/** A stop of the chart, in running order. */
export interface Station {
  code: StationCode;
  name: StationName;
  arrival: ClockTime | null;
  departure: ClockTime | null;
  day: Day;
  distanceKm: DistanceKm;
  platform: Platform | null;
  timezone: StationZone | null;
}

/** A station of the train, by its code. */
export type StationCode = string;

/** The station's name. */
export type StationName = string;

/** HH:MM; null at the end of the run. */
export type ClockTime = string;

/** 1 on the day on which the train starts. */
export type Day = number;

/** Kilometres from the first station. */
export type DistanceKm = number;

/** The platform. */
export type Platform = string;

/** The time zone of the station, where it is not that of the run. */
export type StationZone = string;

/** Where an amendment comes from: a later chart, booking on the way, a TTE, or a correction. */
export type ChartSource = 'SECOND' | 'REMOTE' | 'CURRENT' | 'EFT' | 'CORRECTION';

/** A passenger who was left out of the run, and why. */
export interface Rejected {
  /** The entry from 1, or the line of the CSV. */
  line: number;
  /** The PNR; empty if the line has none. */
  pnr: string;
  /** What is wrong with the line. */
  reason: string;
}

/** A line that loads, and what of it cannot be used. */
export interface Warned {
  /** The entry from 1, or the line of the CSV. */
  line: number;
  /** The PNR; empty if the warning is about a column. */
  pnr: string;
  /** What cannot be used. */
  reason: string;
}

/** 5 to 16 letters and digits. */
export type Pnr = string;

/** The person's number on the PNR, from 1. */
export type PersonIndex = number;

/** The person's name. */
export type PersonName = string;

/** A coach, by its code. */
export type CoachCode = string;

/** A berth of the coach, by its number. */
export type BerthNumber = number;

/** Where it begins: a stop, by its code. */
export type Origin = string;

/** Where it ends: a stop, by its code. */
export type Destination = string;

/** Confirmed, on RAC, on the waiting list, or a child without a berth (NOSB). */
export type BookingStatus = 'CNF' | 'RAC' | 'WL' | 'NOSB';

/** The number on RAC or WL. */
export type Number = number;

/** A station of the run. */
export interface StationRef {
  code: StationCode;
  name: StationName;
  index: StationIndex;
}

/** The station's place in the run, from 0. */
export type StationIndex = number;

/** A station still to come, and when the train is expected there. */
export interface Ahead {
  code: StationCode;
  name: StationName;
  index: StationIndex;
  expected: Moment;
}

/** A time with its offset, as in ISO 8601. */
export type Moment = string;

/** The reason, in words. */
export type Note = string;

/** How far the run is. CLOSED means that its end was never reported, and is long past. */
export type RunStatus = 'SCHEDULED' | 'RUNNING' | 'COMPLETED' | 'CANCELLED' | 'CLOSED';

/** What a station reports of a train. */
export type StationReport = 'ARRIVAL' | 'DEPARTURE';

/** Minutes behind the timetable; negative if the train is early. */
export type DelayMinutes = number;

/** A stop of the train, by its station's code: BWN, or BWN@3 for the stop with index 3 of a train that calls there twice. */
export type StopCode = string;

/** From two hours early to two days late. */
export type SetMinutes = number;

/** Why a passenger left the train before the destination. */
export type AlightReason = 'EARLY' | 'MEDICAL' | 'DEATH' | 'REMOVED' | 'OTHER';

/** Why a berth is not given to passengers: the staff's own, broken, or its coach is off. */
export type BlockReason = 'STAFF' | 'BROKEN' | 'COACH_OFF';

/** A TTE: the user that the token names. */
export type TteUser = string;

/** A remark for the captaincy report. */
export type RemarkText = string;

/** A class of travel. */
export type ClassCode = string;

/** Why a berth is free. */
export type Cause = 'NO_SHOW' | 'ALIGHTED' | 'CANCELLED' | 'UPGRADED' | 'ALLOTTED' | 'BOARDING_CHANGED' | 'AMENDED' | 'UNBLOCKED' | 'UNBOOKED';

/** Why a TTE gives a berth to one passenger, out of turn if need be. */
export type AllotReason = 'FAMILY' | 'MEDICAL' | 'SAFETY' | 'DISPLACED' | 'OTHER';

/** The place on RAC or WL of a passenger who was upgraded since. */
export type UpgradedFrom = string;

/** The first passengers who were considered, in order, and the chosen one last. */
export type Reasons = Considered[];

/** A passenger who was considered for the berth, in order. */
export interface Considered {
  pnr: Pnr;
  index: PersonIndex;
  status: BookingStatus;
  number: Number | null;
  outcome: Outcome;
}

/** Why the berth was not for them; "chosen" for the chosen one. */
export type Outcome = string;

/** The other passengers who came before. */
export type Others = PassedOver[];

/** Passengers who came before the chosen one, and are not named in the reason. */
export interface PassedOver {
  status: BookingStatus;
  first: Number | null;
  last: Number | null;
  /** How many passengers these are. */
  count: number;
  outcome: Outcome;
}

/** An offer. The id names its run and the event that made it. */
export type OfferId = string;

/** The user who booked: an irctcId. */
export type UserId = string;

/** The kind of a berth. */
export type BerthType = 'LOWER' | 'SIDE_LOWER' | 'MIDDLE' | 'UPPER' | 'SIDE_MIDDLE' | 'SIDE_UPPER' | 'SEAT';

/** How urgent an announcement is. */
export type Level = 'INFO' | 'WARNING' | 'EMERGENCY';

/** The train: 1 to 10 letters and digits; 12345-2 is the number's second run on that date. */
export type GivenTrainNo = string | number;

/** The run's date at its first station. */
export type StartDate = string;

/** The zone of the railway that the train belongs to, by its code. */
export type RailwayZone = string;

/** How a vacant berth reaches the passenger on RAC. */
export type Policy = 'AUTO' | 'OFFER' | 'APPROVAL';

/** verify: a TTE marks each passenger. auto: a departure marks the due passengers as boarded. */
export type Boarding = 'auto' | 'verify';

/** Who of the waiting list gets berths: all, those on partly confirmed PNRs, or none. */
export type WaitingList = 'ALL' | 'PARTLY' | 'NONE';

/** A kind of waiting list: GN general, RL remote, PQ pooled, RS roadside, TQ Tatkal. */
export type WaitingKind = string;

/** A stop of the chart, in running order. */
export interface GivenStation {
  code: StationCode;
  name: StationName;
  arrival?: ClockTime | null;
  departure?: ClockTime | null;
  day?: Day;
  distanceKm?: DistanceKm;
  platform?: Platform | null;
  timezone?: StationZone | null;
}

/** A coach as a chart may give it: `type` or `numbers` may stand in place of `berths`. */
export interface GivenCoach {
  class: ClassCode;
  code: CoachCode;
  berths?: Berths;
  /** The type of the coach, which tells its berths. */
  type?: 'ICF' | 'LHB' | 'GARIB_RATH' | 'HALF' | 'RIC' | 'SEATS';
  layout?: GivenLayout | null;
  numbers?: BerthNumbers | null;
  rac?: RacBerths | null;
  blocked?: BlockedBerths;
}

/** The number of berths. */
export type Berths = number;

/** Each berth's type, where the class's own layout is not meant. */
export type GivenLayout = BerthType[];

/** The numbers of the berths, where these are not 1 to `berths`. */
export type BerthNumbers = BerthNumber[];

/** Berths that two on RAC may share, where these are not the side lowers. */
export type RacBerths = BerthNumber[];

/** Berths that passengers do not get: the staff's own. */
export type BlockedBerths = BerthNumber[];

/** A passenger of the chart, as booked. A chart's passenger with a fault is left out. */
export interface GivenBooking {
  pnr: GivenPnr;
  index: PersonIndex;
  irctcId?: UserId | null;
  name: PersonName;
  from: Origin;
  to: Destination;
  class: ClassCode;
  status: BookingStatus;
  number?: Number | null;
  coach?: CoachCode | null;
  berth?: BerthNumber | null;
  age?: number | null;
  gender?: string | null;
  need?: Need | null;
  /** The kind of the waiting list; without it GN, the general one. */
  waitingKind?: WaitingKind | null;
  /** The ticket's quota; LD is the ladies'. */
  quota?: string | null;
  phone?: string | null;
  /** An e-mail address. */
  email?: string | null;
}

/** 5 to 16 letters and digits. */
export type GivenPnr = string | number;

/** Why a passenger needs a lower berth, whatever their age. */
export type Need = 'PREGNANT' | 'DISABLED';

/** CSV with a header, a line for each passenger. */
export type Csv = string;

/** The run is loaded. */
export interface Registered {
  trainNo: TrainNo;
  startDate: StartDate;
  /** The seq of the run's last event. */
  seq: number;
  /** The number of stations. */
  stations: number;
  /** The number of passengers. */
  passengers: number;
  /** The passengers who were left out. */
  rejected: Rejected[];
  /** What was not used of the lines that load. */
  warnings: Warned[];
}

/** The train: 1 to 10 letters and digits; 12345-2 is the number's second run on that date. */
export type TrainNo = string;

/** A person of the chart. */
export interface GivenPersonRef {
  pnr: GivenPnr;
  index: PersonIndex;
}

/** What a command has brought about. */
export interface Result {
  trainNo: TrainNo;
  startDate: StartDate;
  /** The seq of the run's last event. */
  seq: number;
}

/** The run was so already. Nothing has changed. */
export interface Unchanged {
  trainNo: TrainNo;
  startDate: StartDate;
  /** The seq of the run's last event. */
  seq: number;
  unchanged: true;
}

/** When it happened; the hub's time if left out. Not in the future, and not before the last report. */
export type ReportedAt = string;

/** HH:MM by the clock of the stop before it. */
export type HaltTime = string;

/** The PNR of the person. */
export type GivenPersonPnr = string | number;

/** The person's number on the PNR, from 1. */
export type PersonPlace = number;

/** When the mark was made or undone, for a device that was offline; the hub's time if left out. It lets a mark through after the journey, and an undo only undoes an older mark. */
export type MarkedAt = string;

/** The audience of an announcement. USER needs `user`. */
export type To = 'EVERYONE' | 'STAFF' | 'USER';

/** A mark of a batch. */
export interface GivenMark {
  mark: MarkKind;
  pnr: GivenPersonPnr;
  index: PersonPlace;
  at?: MarkedAt | null;
}

/** What a TTE marks. */
export type MarkKind = 'BOARDED' | 'NO_SHOW' | 'UNDO_BOARDED' | 'UNDO_NO_SHOW';

/** Each mark, in the order of the message. */
export interface BatchDone {
  marks: (MarkDone | MarkRefused)[];
}

/** A mark that was accepted. */
export interface MarkDone {
  mark: MarkKind;
  pnr: PersonPnr;
  index: PersonPlace;
  result: Commands['MARK_BOARDED' | 'MARK_NO_SHOW' | 'UNDO_BOARDED' | 'UNDO_NO_SHOW']['result'];
}

/** A mark that was refused. The other marks are not affected. */
export interface MarkRefused {
  mark: MarkKind;
  pnr: PersonPnr;
  index: PersonPlace;
  error: ErrorFields;
}

/** The PNR of the person. */
export type PersonPnr = string;

/** What was wrong. A command that failed has changed nothing. */
export interface ErrorFields {
  code: ErrorCode;
  /** What is wrong and what to do. */
  message: string;
  details?: ErrorDetails;
  retryAfterMs?: RetryAfterMs;
}

/** What is wrong, for a program. */
export type ErrorCode = 'BAD_MESSAGE' | 'UNKNOWN_TYPE' | 'NOT_IDENTIFIED' | 'BAD_TOKEN' | 'FORBIDDEN' | 'CONFLICT' | 'TOO_MANY_ROOMS' | 'RATE_LIMITED' | 'UNAVAILABLE' | 'UNKNOWN_TRAIN' | 'UNKNOWN_STATION' | 'UNKNOWN_PASSENGER' | 'UNKNOWN_COACH' | 'UNKNOWN_OFFER' | 'AMBIGUOUS_RUN' | 'AMBIGUOUS_STATION' | 'OFFER_CLOSED';

/** More about an error, for programs. The code decides which fields are there. */
export interface ErrorDetails {
  /** CONFLICT: the station whose turn it is. */
  next?: string;
  status?: RunStatus;
  state?: PersonState;
  seq?: Seq;
  /** CONFLICT: the berth that another passenger has. */
  berth?: string;
  /** CONFLICT: the passengers who have the berth. */
  holders?: Holder[];
  /** CONFLICT: the station of the last report. */
  last?: string;
  /** CONFLICT: the passengers who were upgraded since the report. */
  upgraded?: Upgraded[];
  /** CONFLICT: the passengers who were marked since the report. */
  marked?: Marked[];
  boardsAt?: StationCode;
  /** CONFLICT: who made the mark that stands. */
  markedBy?: UserId | null;
  /** CONFLICT: when that mark was made. */
  markedAt?: Moment | null;
  /** BAD_MESSAGE: the lines of a chart that do not load, and why. */
  rejected?: Rejected[];
  outcome?: OfferState;
  /** The stations that would do. */
  stations?: StationCode[];
  /** AMBIGUOUS_RUN: the dates to choose from. */
  startDates?: StartDate[];
  /** AMBIGUOUS_RUN: the runs to choose from, if the number runs twice on a date. */
  runs?: RunFields[];
}

/** How far a person's journey is. NT means not turned up, UNCHECKED over without a mark. */
export type PersonState = 'DUE' | 'ABOARD' | 'NT' | 'ALIGHTED' | 'CANCELLED' | 'UNCHECKED';

/** The event's number within its run, from 1. */
export type Seq = number;

/** A passenger who has a berth, and for which way. */
export interface Holder {
  from: Origin;
  to: Destination;
  pnr: PersonPnr;
  index: PersonPlace;
  name: PersonName;
}

/** A passenger with a new berth. */
export interface Upgraded {
  pnr: PersonPnr;
  index: PersonPlace;
  coach: CoachCode;
  berth: BerthNumber;
}

/** A passenger with a mark. */
export interface Marked {
  pnr: PersonPnr;
  index: PersonPlace;
}

/** Whether an offer is open, or how it ended. */
export type OfferState = 'OPEN' | 'ACCEPTED' | 'DENIED' | 'EXPIRED' | 'WITHDRAWN';

/** The run that a message is about. */
export interface RunFields {
  trainNo: TrainNo;
  startDate: StartDate;
}

/** Milliseconds to wait before the next try. */
export type RetryAfterMs = number;

/** The run as you may see it, at `seq`. */
export interface Snapshot {
  trainNo: TrainNo;
  startDate: StartDate;
  type: 'SNAPSHOT';
  epoch: Epoch;
  seq: Seq;
  run: RunView;
}

/** The name of the run's history. Keep it with the last seq. */
export type Epoch = string;

/** A run as the reader may see it. */
export interface RunView {
  trainNo: TrainNo;
  trainName: TrainName;
  startDate: StartDate;
  status: RunStatus;
  /** The seq of the run's last event. */
  seq: number;
  /** The last station reached, from 0. */
  index: number;
  /** True if the train has left it. */
  departed: boolean;
  station: StationNamed;
  next: StationAhead | null;
  delayMinutes: DelayMinutes;
  timezone: Zone;
  policy: Policy;
  /** How long a no-show can be undone; null for as long as the berth is free. */
  undoMinutes: number | null;
  stations: StopView[];
  passengers?: Person[];
  /** The offers that are open. */
  offers?: OfferView[];
  /** The coaches that are checked at the last station reached; for the staff. */
  checked?: CoachCode[];
  /** Which TTE is responsible for which coach; only for the staff. */
  duty?: DutyLine[];
  /** For how many minutes the next report is missing. */
  overdueMinutes?: number;
  figures: Figures;
}

/** A station. */
export interface StationNamed {
  code: StationCode;
  name: StationName;
}

/** The next station, and when the train is expected there. */
export interface StationAhead {
  code: StationCode;
  name: StationName;
  index: StationIndex;
  expected: Moment;
}

/** A stop of a run. `stop` is its name in commands, and in `from` and `to`. */
export interface StopView {
  code: StationCode;
  stop: StopCode;
  name: StationName;
  index: StationIndex;
  distanceKm: DistanceKm;
  platform: Platform | null;
  platformConfirmed: boolean;
  skipped: boolean;
  scheduledArrival: Moment | null;
  expectedArrival: Moment | null;
  actualArrival: Moment | null;
  scheduledDeparture: Moment | null;
  expectedDeparture: Moment | null;
  actualDeparture: Moment | null;
}

/** A passenger: the chart's fields; status, coach, berth and from as they are now. */
export interface Person {
  pnr: Pnr;
  index: PersonIndex;
  irctcId: UserId | null;
  name: PersonName;
  from: Origin;
  to: Destination;
  class: ClassCode;
  status: BookingStatus;
  number: Number | null;
  coach: CoachCode | null;
  berth: BerthNumber | null;
  age: number | null;
  gender: string | null;
  need: Need | null;
  /** The kind of the waiting list; without it GN, the general one. */
  waitingKind: WaitingKind | null;
  /** The ticket's quota; LD is the ladies'. */
  quota: string | null;
  phone: string | null;
  /** An e-mail address. */
  email: string | null;
  state: PersonState;
  upgradedFrom: UpgradedFrom | null;
  /** When the person's last mark was made. */
  markedAt: Moment | null;
  /** True if the person counts as aboard since the train left. */
  assumed: boolean;
  /** Why the person left the train before the destination. */
  left: AlightReason | null;
}

/** An offer and what became of it. Only the staff read the fields that may be missing. */
export interface OfferView {
  from: Origin;
  to: Destination;
  offerId: OfferId;
  state: OfferState;
  pnr: Pnr;
  index: PersonIndex;
  coach: CoachCode;
  berth: BerthNumber;
  berthType: BerthType;
  oldCoach: CoachCode | null;
  oldBerth: BerthNumber | null;
  expiresAt: Moment;
  closedAt: Moment | null;
  answeredBy: AnsweredBy | null;
  name?: PersonName;
  cause?: Cause;
  reason?: Reasons;
  passedOver?: Others;
  /** The devices on which it has arrived; counted up to 16. */
  delivered?: number;
  /** When it arrived on the first device; null if on none. */
  deliveredAt?: Moment | null;
}

/** The role of the user who answered it; null if the clock or the rules ended it. */
export type AnsweredBy = Role;

/** The role that a token gives its user. */
export type Role = 'PASSENGER' | 'TTE' | 'ADMIN' | 'SERVICE';

/** A coach, and the TTE who is responsible for it. */
export interface DutyLine {
  coach: CoachCode;
  tte: TteUser | null;
  /** When the TTE signed on. */
  since: Moment | null;
  /** The station at which the coach was checked last (CHECK_COACH). */
  checked: StationCode | null;
}

/** How many, by class and by coach. Only the staff get rows that are about one passenger. */
export interface Figures {
  classes: ClassCounts[];
  coaches: CoachCounts[];
}

/** How many, in one class. */
export interface ClassCounts {
  class: ClassCode;
  booked: number;
  aboard: number;
  due: number;
  nt: number;
  /** Passengers who still wait on RAC. */
  rac: number;
  upgraded: number;
  /** Berths that are free on the leg that the train is on or starts next. */
  vacant: number;
}

/** How many, in one coach. */
export interface CoachCounts {
  booked: number;
  aboard: number;
  due: number;
  nt: number;
  /** Passengers who still wait on RAC. */
  rac: number;
  upgraded: number;
  /** Berths that are free on the leg that the train is on or starts next. */
  vacant: number;
  coach: CoachCode;
}

/** The newest figures of a run: on subscribing, and at most once a second after changes. */
export interface BoardingUpdate {
  trainNo: TrainNo;
  startDate: StartDate;
  type: 'BOARDING_UPDATE';
  data: Figures;
}

/** The sockets of a run, for its staff: at most once a second after changes. */
export interface PresenceUpdate {
  trainNo: TrainNo;
  startDate: StartDate;
  type: 'PRESENCE';
  data: PresenceFigure;
}

/** The TTEs and sockets of a run. */
export interface PresenceFigure {
  /** TTEs online, each counted once. */
  ttes: number;
  sockets: SocketCounts;
}

/** The sockets in a room, by role. */
export interface SocketCounts {
  /** All sockets. */
  total: number;
  passengers: number;
  ttes: number;
  admins: number;
  others: number;
}

/** The train number means another, later run by now: `data`. */
export interface NextRun {
  trainNo: TrainNo;
  startDate: StartDate;
  type: 'NEXT_RUN';
  data: RunFields;
}

/** The hub's figures. No person is in them. */
export interface MonitorFigures {
  /** The hub's version. */
  version: string;
  serverTime: Moment;
  /** The time by which the hub goes; the demo runs faster. */
  hubTime: string;
  uptimeSeconds: number;
  epoch: Epoch;
  demo: boolean;
  sockets: number;
  notifications: NotificationFigures;
  writeBuffer: WriteBufferFigures;
  journal: JournalFigures;
  audit: AuditFigures;
  loop: Loop;
  clients: ClientFigures;
  degraded: Degraded;
  trains: RunFigures[];
}

/** Push notifications and e-mails. */
export interface NotificationFigures {
  /** Letters that wait. */
  depth: number;
  capacity: number;
  sent: number;
  /** Given up since the start. Each is kept as a dead letter. */
  failed: number;
  /** Tries that failed and are followed by another one. */
  retried: number;
  /** Kept in a file after long failure, and tried again. */
  setAside: number;
  failing: Failing;
  behind: Behind;
  /** Each channel by its name. */
  channels: Record<string, ChannelFigures>;
}

/** What fails at present, in a sentence. */
export type Failing = string | null;

/** Records of the journal that wait for it. */
export type Behind = number;

/** The queue of one channel. */
export interface ChannelFigures {
  /** Letters that wait. */
  depth: number;
  sentLastMinute: number;
  /** The age of the oldest letter that waits; null if none does. */
  oldestSeconds: number | null;
  sent: number;
  /** Not sent, as a device acknowledged the event first. */
  cancelled: number;
  expired: number;
  failed: number;
  /** Not taken, as the queue was full. */
  refused: number;
  /** The last failure, in words that name no person. */
  lastError: string | null;
}

/** What is on its way to MongoDB. */
export interface WriteBufferFigures {
  /** Documents that wait. */
  depth: number;
  capacity: number;
  flushed: number;
  lastFlush: Flush | null;
  /** Documents that MongoDB refused. */
  refused: number;
  failing: Failing;
  behind: Behind;
  /** Times that MongoDB was written again from the journal. */
  refills: number;
}

/** A bulk write to MongoDB. */
export interface Flush {
  at: Moment;
  documents: number;
  millis: number;
}

/** The journal on disk. */
export interface JournalFigures {
  records: number;
  bytes: number;
  /** Bytes at which the hub takes no more. */
  limit: number;
  lastCommitMillis: number;
}

/** Refused commands since the start. */
export interface AuditFigures {
  /** In the audit trail. */
  refusals: number;
  /** Not in it, as there were too many. */
  leftOut: number;
  /** Of clients without a token, which are only counted. */
  unidentified: number;
}

/** The turns of the hub's event loop. All clients wait while one lasts. */
export interface Loop {
  /** Turns of over 20 ms since the start. */
  held: number;
  /** The longest of them within the last minute. */
  longestMillis: number;
}

/** What clients cost the hub, beyond their commands. */
export interface ClientFigures {
  /** Bytes that clients have not read, or not sent to the end. */
  heldBytes: number;
  /** Above it the connections furthest behind are closed. */
  heldLimit: number;
  /** Connections that were closed so. */
  cutOff: number;
  /** HTTP requests that were refused with RATE_LIMITED. */
  tooOften: number;
}

/** What does not work at present, a sentence for each fault. */
export type Degraded = string[];

/** A run in a few fields, with its passengers and sockets as figures. */
export interface RunFigures {
  trainNo: TrainNo;
  trainName: TrainName;
  startDate: StartDate;
  status: RunStatus;
  /** The seq of the run's last event. */
  seq: number;
  /** The last station reached, from 0. */
  index: number;
  /** True if the train has left it. */
  departed: boolean;
  station: StationNamed;
  next: StationAhead | null;
  delayMinutes: DelayMinutes;
  zone: RailwayZone | null;
  /** The number of stations. */
  stations: number;
  run: RunKeyText;
  /** When the next departure or arrival should be reported; null once the run is over. */
  reportDue: Moment | null;
  booked: number;
  aboard: number;
  noShow: number;
  sockets: SocketCounts;
}

/** The run's key. */
export type RunKeyText = string;
// end
