/** 24 hours of static/trainhub.js on a faulty link, in simulated time: node day.mjs SEED. Prints what it saw as JSON. */

import assert from 'node:assert/strict';
import { Clock, ModelHub, RUN, chanceOf, networkOf } from './simulated.mjs';
import { connect } from '../../static/trainhub.js';

const HOUR = 3_600_000;
const seed = Number(process.argv[2]);
const chance = chanceOf(seed);
Math.random = chance.random;
const clock = new Clock().install();
const hub = new ModelHub(chance);
const Socket = networkOf(clock, hub);
const page = globalThis.document = new EventTarget();
page.visibilityState = 'visible';

/** An app that holds each message against what it was given before. */
class Reader {
  seq = null;
  snapshots = 0;
  snapshot = ({ seq, run }) => {
    assert.equal(run.texts, seq);
    this.seq = seq;
    this.snapshots += 1;
  };
  event = ({ seq }) => {
    assert.equal(seq, this.seq + 1);
    this.seq = seq;
  };
}

const faults = [];
globalThis.reportError = (error) => faults.push(String(error));
const codes = new Set();
let silentSince = null;
let longest = 0;
const client = connect('ws://hub/ws', {
  WebSocket: Socket,
  token: 'T1',
  onState(state, { reason }) {
    if (state !== 'waiting') return;
    if (silentSince === null) {
      if (reason === 'the hub does not answer' && Socket.newest.wasOpen) faults.push(`a healthy link was dropped at ${clock.now}`);
    } else {
      longest = Math.max(longest, clock.now - Math.max(silentSince, clock.frozenUntil));
    }
    silentSince = null;
  },
  onError: ({ code }) => codes.add(code),
});
const [quick, slow] = [new Reader(), new Reader()];
client.subscribe('12345', { event: quick.event, snapshot: quick.snapshot });
client.subscribe('12345', {
  async event(message) {
    await clock.sleep(chance.choice(0, 0, 10, 3000));
    slow.event(message);
  },
  snapshot: slow.snapshot,
});

const end = clock.now + 24 * HOUR;
const during = async (mean, work) => {
  while (clock.now < end) {
    await clock.sleep(chance.wait(mean));
    if (clock.now < end) await work();
  }
};
const asked = [];
const answers = [];
during(20_000, () => hub.announce('x'));
during(60_000, () => {
  const text = `${asked.length}${'y'.repeat(chance.choice(0, 0, 30_000))}`;
  asked.push(text);
  answers.push(client.command('ANNOUNCE', { ...RUN, text }));
});
during(120_000, async () => {
  Socket.rate = chance.choice(1e6, 1e6, 10_000);
  hub.padding = chance.choice(0, 1000, 500_000);
  Socket.trouble = chance.choice(null, null, 'refuse', 'hang');
  const what = chance.choice('cut', 'inside', 'silent', 'deaf', 'restart', 'loading', 'epoch', 'frozen');
  const socket = Socket.newest;
  if (what === 'restart' || what === 'epoch') hub.restart(what === 'epoch' && chance.random() < 0.2);
  if (what === 'loading') {
    hub.refusal = chance.choice('UNKNOWN_TRAIN', 'UNAVAILABLE');
    hub.restart();
  }
  if (what === 'frozen' && clock.now >= clock.frozenUntil) {
    page.dispatchEvent(new Event('freeze'));
    clock.frozenUntil = clock.now + chance.choice(5_000, 60_000, 600_000);
    clock.at(clock.frozenUntil, () => page.dispatchEvent(new Event('resume')), true);
  }
  if (socket.readyState === 1) {
    if (what === 'cut') socket.cut();
    if (what === 'inside') socket.cutNext = true;
    if (what === 'silent' || what === 'deaf') {
      socket.silentDown ||= what === 'silent' || chance.random() < 0.5;
      socket.silentUp ||= what === 'deaf' || chance.random() < 0.5;
      silentSince = Math.max(socket.silentDown ? clock.now : Infinity, silentSince ?? 0);
    }
  }
  await clock.sleep(chance.choice(100, 5_000, 60_000));
  Socket.trouble = hub.refusal = null;
});

await clock.runUntil(end);
[Socket.trouble, hub.refusal, Socket.rate] = [null, null, 1e6];
await clock.runUntil(end + HOUR / 6);
assert.deepEqual(faults, []);
assert.equal(client.state, 'live');
assert.equal(quick.seq, hub.log.length);
assert.equal(slow.seq, hub.log.length);
const results = await Promise.all(answers);
assert.equal(new Set(results.map(({ seq }) => seq)).size, asked.length);
assert.deepEqual(hub.log.filter(({ user }) => user === 'T1').map(({ text }) => text), asked);
console.log(JSON.stringify({
  seed, events: hub.log.length, commands: asked.length, snapshots: quick.snapshots, sockets: Socket.opened,
  longestSeconds: longest / 1000, codes: [...codes].sort(),
}));
process.exit();
