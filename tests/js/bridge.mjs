/**
 * Lets a test in Python drive static/trainhub.js in Node: a JSON object a line comes in and names a
 * call, and all that the client tells goes out, a line each.
 */

import { createInterface } from 'node:readline';
import WebSocket from 'ws';
import { connect } from '../../static/trainhub.js';

const tell = (told, value) => console.log(JSON.stringify({ told, ...value }));
const settle = (n, promise) => promise.then(
  (result) => tell('answer', { n, result }),
  ({ code, message, details }) => tell('answer', { n, error: { code, message, details } }),
);

let client;
const CALLS = {
  connect({ url, tokens = [], ...options }) {
    // Several tokens: each time a fresh one is fetched, the next; the last again and again.
    const token = tokens.length > 1 ? () => (tokens.length > 1 ? tokens.shift() : tokens[0]) : tokens[0];
    const onState = (state, detail) => tell('state', { state, ...detail });
    client = connect(url, { ...options, token, WebSocket, onState });
  },
  subscribe({ train }) {
    client.subscribe(train, {
      event: (message) => tell('event', { message }),
      snapshot: (message) => tell('snapshot', { message }),
      figures: (message) => tell('figures', { message }),
      subscribed: (message) => tell('subscribed', { message }),
      error: ({ code }) => tell('error', { code }),
    });
  },
  identify: ({ n, token }) => settle(n, client.identify(token)),
  command: ({ n, type, fields, options }) => settle(n, client.command(type, fields, options)),
  check: () => client.check(),
  close: () => client.close(),
};

createInterface({ input: process.stdin }).on('line', (line) => {
  const { call, ...rest } = JSON.parse(line);
  CALLS[call](rest);
});
