/** What of static/trainhub.js depends on time, in simulated time: node clock.mjs NAME. An assertion fails, or all is well. */

import assert from 'node:assert/strict';
import { Clock, ModelHub, RUN, chanceOf, networkOf } from './simulated.mjs';
import { connect } from '../../static/trainhub.js';

const clock = new Clock().install();
const page = globalThis.document = new EventTarget();
page.visibilityState = 'visible';
const windowEvents = new EventTarget();
globalThis.addEventListener = windowEvents.addEventListener.bind(windowEvents);
globalThis.removeEventListener = windowEvents.removeEventListener.bind(windowEvents);

function start(options = {}) {
  const hub = new ModelHub(chanceOf(1));
  const Socket = networkOf(clock, hub);
  const lost = [];
  const onState = (state, detail) => state === 'waiting' && lost.push({ at: clock.now, ...detail });
  const client = connect('ws://hub/ws', { WebSocket: Socket, onState, ...options });
  return { hub, Socket, lost, client };
}

const run = (seconds) => clock.runUntil(clock.now + seconds * 1000);

const TESTS = {
  /** A quiet link that answers is never dropped, and a dead one is noticed within both periods: for all pairs of them. */
  async pairs() {
    const periods = [0.5, 1, 2.5, 5, 12.5, 15, 20, 25, 30, 40, 60, 300];
    for (const quiet of periods) {
      for (const answer of periods) {
        const { hub, Socket, lost, client } = start({ timing: { answerMs: answer * 1000, slowMs: Math.max(90, answer) * 1000 } });
        hub.heartbeatSeconds = quiet;
        client.subscribe('12345', {});
        await run(20 * (quiet + answer));
        assert.deepEqual(lost, [], `${quiet} ${answer}`);
        Socket.newest.silentDown = true;
        const died = clock.now;
        await run(quiet + answer + 0.1);
        assert.equal(lost.length, 1, `${quiet} ${answer}`);
        assert.ok(lost[0].at - died <= (quiet + answer) * 1000 + 100);
        client.close();
      }
    }
  },

  /** At the shipped defaults: an hour of silence is no death; 40 s without an answer are, and 20 s while a command waits. */
  async defaults() {
    const { Socket, lost, client } = start({ token: 'T1' });
    client.subscribe('12345', {});
    await run(3600);
    assert.deepEqual(lost, []);
    Socket.newest.silentUp = true;
    await run(40);
    assert.equal(lost.length, 1);
    await run(60);
    Socket.newest.silentDown = true;
    client.command('ANNOUNCE', { ...RUN, text: 'x' });
    await run(19.9);
    assert.equal(lost.length, 1);
    await run(0.2);
    assert.equal(lost.length, 2);
  },

  /** A SNAPSHOT of 514 KB at 10 KB a second is one message, and nothing shows before it is whole. */
  async slow() {
    const { hub, Socket, lost, client } = start({ token: 'T1' });
    Socket.rate = 10_000;
    hub.padding = 514_000;
    const heard = [];
    client.subscribe('12345', { snapshot: () => heard.push(clock.now) });
    client.command('ANNOUNCE', { ...RUN, text: 'x' });
    await run(70);
    assert.equal(heard.length, 1);
    assert.deepEqual(lost, []);
    assert.equal(Socket.opened, 1);
  },

  /** The wall clock steps by a year, either way: retries, deadlines and LAPSED keep to the monotonic clock. */
  async wall() {
    for (const step of [-3_600_000, 31_536_000_000]) {
      const real = Date.now;
      const { hub, lost, client } = start({ token: 'T1' });
      await run(60);
      const lapsed = [];
      hub.command = () => ({ type: 'ERROR', code: 'RATE_LIMITED', message: '', retryAfterMs: 2000 });
      client.command('ANNOUNCE', { ...RUN, text: 'x' }, { withinMs: 60_000 }).catch(({ code }) => lapsed.push([code, clock.now]));
      hub.restart();
      Date.now = () => real() + step;
      client.command('ANNOUNCE', { ...RUN, text: 'y' }, { withinMs: 60_000 }).catch(({ code }) => lapsed.push([code, clock.now]));
      const asked = clock.now;
      await run(10);
      assert.equal(client.state, 'live');
      assert.equal(lost.length, 1);
      assert.ok(lost[0].retryInMs < 2000);
      await run(100);
      assert.deepEqual(lapsed, [['LAPSED', asked + 60_000], ['LAPSED', asked + 60_000]]);
      client.close();
      Date.now = real;
    }
  },

  /** A page that wakes asks at once, and the late timers of its sleep do not judge the link. */
  async freeze() {
    for (const [wakes, target] of [['resume', page], ['pageshow', windowEvents], ['visibilitychange', page]]) {
      const { Socket, lost, client } = start();
      await run(30);
      page.dispatchEvent(new Event('freeze'));
      clock.frozenUntil = clock.now + 600_000;
      clock.at(clock.frozenUntil, () => target.dispatchEvent(new Event(wakes)), true);
      await run(630);
      assert.deepEqual(lost, [], wakes);
      page.dispatchEvent(new Event('freeze'));
      clock.frozenUntil = clock.now + 600_000;
      const woken = clock.frozenUntil;
      Socket.newest.silentDown = true;
      clock.at(clock.frozenUntil, () => target.dispatchEvent(new Event(wakes)), true);
      await run(630);
      assert.deepEqual(lost.map(({ at }) => at), [woken + 15_000], wakes);
      client.close();
    }
  },

  /** Without any event of the page: a laptop that slept has one more PING. */
  async sleep() {
    const { lost } = start();
    await run(30);
    clock.frozenUntil = clock.now + 3_600_000;
    await run(3_700);
    assert.deepEqual(lost, []);
  },

  /** `offline` and `online` are checks of the link, and `online` ends a wait. */
  async network() {
    const { Socket, lost, client } = start();
    await run(30);
    windowEvents.dispatchEvent(new Event('offline'));
    await run(20);
    assert.deepEqual(lost, []); // the hub is on this machine
    Socket.newest.silentDown = true;
    const gone = clock.now;
    windowEvents.dispatchEvent(new Event('offline'));
    Socket.trouble = 'refuse';
    await run(15.1);
    assert.deepEqual(lost[0].at, gone + 15_000);
    await run(300);
    assert.equal(client.state, 'waiting');
    Socket.trouble = null;
    windowEvents.dispatchEvent(new Event('online'));
    await run(1);
    assert.equal(client.state, 'live');
  },

  /** Async handlers get one event after the other; `since` is what they have accepted, and the buffer is bounded. */
  async handlers() {
    const { hub, client } = start();
    const heard = [];
    const train = client.subscribe('12345', {
      async event({ seq }) {
        await clock.sleep(seq === 1 ? 60_000 : 10);
        heard.push(seq);
      },
    });
    hub.kept = 1e6;
    await run(5);
    for (let number = 0; number < 2500; number += 1) hub.announce('x');
    await run(30);
    assert.deepEqual([train.since.seq, heard.length], [0, 0]);
    await run(200);
    assert.deepEqual(heard, Array.from({ length: 2500 }, (_, place) => place + 1));
    assert.equal(train.since.seq, 2500);
  },
};

await TESTS[process.argv[2]]();
process.exit();
