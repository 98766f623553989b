/**
 * Let a test in Python drive static/trainhub.js in Node. Each line of stdin is a JSON object that names
 * a call. Each line of stdout is something that the client reports.
 */

import { createInterface } from 'node:readline';
import WebSocket from 'ws';
import { connect } from '../../static/trainhub.js';

globalThis.reportError = (error) => tell('fault', { message: error.message });

const tell = (told, value) => console.log(JSON.stringify({ told, ...value }));
const settle = (n, promise) => promise.then(
  (result) => tell('answer', { n, result }),
  ({ code, message, details }) => tell('answer', { n, error: { code, message, details } }),
);

// A storage in place of a browser's localStorage.
const storageOf = (stored) => ({
  get length() { return Object.keys(stored).length; },
  key: (place) => Object.keys(stored)[place],
  getItem: (name) => stored[name] ?? null,
  setItem(name, text) { stored[name] = text; },
  removeItem(name) { delete stored[name]; },
});

let client;
let subscribed; // the last subscription
let stored;
const CALLS = {
  connect({ url, tokens = [], stored: kept, ...options }) {
    stored = kept;
    // Of several tokens each fetch returns the next, and then always the last.
    const token = tokens.length > 1 ? () => (tokens.length > 1 ? tokens.shift() : tokens[0]) : tokens[0];
    const onState = (state, detail) => tell('state', { state, ...detail });
    const onError = ({ code, details, final }) => tell('complaint', { code, details, final });
    const storage = stored && storageOf(stored);
    client?.close();
    client = connect(url, { ...options, token, storage, WebSocket, onState, onError });
  },
  subscribe({ train, stumble }) {
    const fails = { throw: () => { throw new Error('an app\'s own'); }, reject: () => Promise.reject(new Error('an app\'s own')) };
    const handler = (told) => (message) => {
      tell(told, { message });
      return fails[stumble]?.();
    };
    subscribed = client.subscribe(train, {
      event: handler('event'),
      snapshot: handler('snapshot'),
      figures: handler('figures'),
      nextRun: handler('nextRun'),
      subscribed: handler('subscribed'),
      error: ({ code, final }) => tell('error', { code, final }),
    });
  },
  fleet: () => client.followFleet((figures) => tell('fleet', { figures })),
  leaveFleet: () => client.followFleet(null),
  waiting: () => tell('waiting', { entries: client.waiting.map(({ type, key, user }) => ({ type, key, user })), stored }),
  claim: ({ key }) => client.claim(key),
  discard: ({ key }) => client.discard(key),
  identify: ({ n, token }) => settle(n, client.identify(token)),
  command: ({ n, type, fields, options }) => settle(n, client.command(type, fields, options)),
  now: () => tell('now', { now: client.now(), identity: client.identity }),
  train: ({ n }) => settle(n, Promise.resolve(subscribed.state)),
  check: () => client.check(),
  close: () => client.close(),
};

createInterface({ input: process.stdin }).on('line', (line) => {
  const { call, ...rest } = JSON.parse(line);
  CALLS[call](rest);
});
