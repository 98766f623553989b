/** Types of trainhub.js; docs/reference/protocol.md says what each message and command has. */

export const VERSION: string;
export type State = 'connecting' | 'live' | 'waiting' | 'refused' | 'closed';
/** A token, or what fetches a fresh one: at first, and whenever the hub refuses the last. */
export type Token = string | (() => string | null | Promise<string | null>);
export interface Run { trainNo: string; startDate: string }
export interface Since { epoch: string; seq: number }
export interface Identified { user: string | null; role: string | null; trains: string[] }
export interface Subscribed extends Run, Since { recovered: boolean }
export interface HubEvent extends Run { type: string; seq: number; timestamp: string; data: Record<string, any> }
export interface Snapshot extends Run, Since { type: 'SNAPSHOT'; run: Record<string, any> }
export interface Figures extends Run { type: string; data: Record<string, any> }

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
    quietMs?: number; askedMs?: number; answerMs?: number; slowMs?: number;
  };
}

/**
 * A function by an event's type, such as STATION_ARRIVAL, is called for those events as well. A handler may be async:
 * the next message comes when it has finished. Its own error is reported, and the next message comes all the same.
 */
export interface Handlers {
  /** Each event once, in the order of its seq. */
  event?(event: HubEvent): void | Promise<void>;
  /** The run as you may see it: it replaces all that came before. */
  snapshot?(snapshot: Snapshot): void | Promise<void>;
  /** The newest figures, as BOARDING_UPDATE. */
  figures?(figures: Figures): void | Promise<void>;
  /** On each connection; what follows if `recovered` is false is a snapshot. */
  subscribed?(answer: Subscribed): void;
  /** The hub refuses this subscription. It has ended if `error.final`; else the client asks again. */
  error?(error: HubError): void;
  [eventType: string]: ((message: any) => void | Promise<void>) | undefined;
}

export interface CommandOptions {
  /** The idempotency key, if the app has one of its own. */
  key?: string;
  /** How long it may wait to be answered; at most 23.5 hours, since the hub keeps keys for a day. */
  withinMs?: number;
}

export interface Waiting {
  type: string;
  key: string;
  fields: Record<string, any>;
  /** Null if it is not known who asked; then `claim` or `discard` it. */
  user: string | null;
  askedAt: Date;
  answer: Promise<any>;
}

export interface Subscription {
  readonly trainNo: string;
  /** Known once it is `ready`, if it was not named. */
  readonly startDate: string | undefined;
  /** The place of the last message that a handler has accepted. */
  readonly since: Since | undefined;
  /** When the hub has answered first; rejects with a HubError. */
  readonly ready: Promise<Subscribed>;
  /** A command on this run. */
  command(type: string, fields?: object, options?: CommandOptions): Promise<any>;
  unsubscribe(): void;
}

export interface Client {
  readonly state: State;
  readonly waiting: Waiting[];
  /** Without a token: log out. */
  identify(token?: Token, options?: { user?: string }): Promise<Identified>;
  subscribe(train: string | { trainNo: string; startDate?: string; since?: Since }, handlers?: Handlers): Subscription;
  unsubscribe(subscription: Subscription): void;
  /** Asked as soon as the hub can be reached, one after the other, each until it is answered. */
  command(type: string, fields?: object, options?: CommandOptions): Promise<any>;
  /** Ask a waiting command as the current user, who made it. Throws HubError. */
  claim(key: string): void;
  /** Drop a waiting command; its promise is rejected with DISCARDED. Throws HubError. */
  discard(key: string): void;
  check(): void;
  close(): void;
}

/** `url` may be relative to the page, and http(s) or ws(s): `connect('/ws')`. */
export function connect(url: string, options?: Options): Client;
