/*
 * The parts of a run's details. Each part says what it reads of the hub, which events change it, and
 * how it shows what it read. Only the part that is open asks, at most once a second.
 */

import { adjust, shows } from './address.js';
import { actions } from './actions.js';
import { coaches } from './coaches.js';
import { make, mark, put, ui } from './elements.js';
import { log, offers, person, waiting } from './people.js';
import { report } from './report.js';
import { schedule } from './schedule.js';
import { covers, staff } from './staff.js';
import { say, span } from './wording.js';

const PAUSE_MS = 1000; // between two reads of a part
const EVENTS = 'events';

/** `may` says who has the part; `hidden` that it opens by a link only. */
const TABS = { [EVENTS]: {}, schedule, coaches, waiting, offers, report, log, actions, person };

let follower = null; // of the run that is shown
let train = null;
let open = null; // the name of the tab that is shown, and what it is narrowed to
let attempt = 0;
let timer = 0;
let due = false;
let found = null; // what the part has read
let shown = ''; // the same as JSON, to draw only what has changed

const allowed = (name) => !TABS[name].may || (covers(train) && TABS[name].may(staff()));

function named() {
  const name = shows('tab');
  return name in TABS && allowed(name) ? name : EVENTS;
}

/** Shows the part that the address names, of the run that is followed. */
export function showTab(followed, figures) {
  const isNew = followed !== follower;
  [follower, train] = [followed, figures];
  const key = [named(), shows('coach'), shows('person')].join();
  showNames();
  if (!isNew && key === open) return tick();
  open = key;
  shown = '';
  const isEvents = named() === EVENTS;
  ui.eventsPart.hidden = !isEvents;
  ui.part.hidden = isEvents;
  ui.part.replaceChildren();
  if (!isEvents) renew();
}

function showNames() {
  const names = Object.keys(TABS).filter((name) => allowed(name) && (!TABS[name].hidden || name === named()));
  if (ui.tabs.childElementCount !== names.length) {
    ui.tabs.replaceChildren(...names.map((name) => {
      const button = make('button', '', { type: 'button' });
      button.dataset.tab = name;
      return button;
    }));
  }
  for (const button of ui.tabs.children) put(button, say(`tab.${button.dataset.tab}`));
  for (const button of ui.tabs.children) mark(button, 'open', String(button.dataset.tab === named()));
  for (const button of ui.tabs.children) button.ariaPressed = button.dataset.open;
}

async function renew() {
  const [mine, tab, on] = [++attempt, TABS[named()], train];
  due = false;
  clearTimeout(timer);
  let parts;
  try {
    const read = tab.read ? await tab.read(on) : null;
    if (mine !== attempt) return;
    const text = JSON.stringify(read);
    if (text === shown && text !== 'null') return;
    [found, shown] = [read, text];
    parts = tab.show(found, on, follower);
  } catch (error) {
    if (mine !== attempt) return;
    shown = '';
    parts = [make('p', say('cannot-show', { reason: error.message }), { className: 'fault' })];
    timer = setTimeout(renew, 5 * PAUSE_MS);
  }
  draw(parts);
}

function draw(parts) {
  const focus = document.activeElement?.dataset?.key;
  ui.part.replaceChildren(...parts);
  countDown();
  tick();
  const again = focus && [...ui.part.querySelectorAll('[data-key]')].find((el) => el.dataset.key === focus);
  again?.focus({ preventScroll: true }); // the element is new, for the keyboard it is the same
}

/** Shows the open part again, in another language. A part with `tick` has forms, which may be half filled in. */
export function drawTabs() {
  const tab = TABS[named()];
  if (shown && !tab.tick) draw(tab.show(found, train, follower));
}

/** Lets the open part show what it knows from the figures. */
function tick() {
  if (shown) TABS[named()].tick?.(ui.part, train);
}

/** Reads the open part again, soon, if the event changes it. null means that anything may have changed. */
export function heard(event) {
  const tab = TABS[named()];
  if (!tab.read || due || (event && !tab.on.test(event.type))) return;
  due = true;
  timer = setTimeout(renew, PAUSE_MS);
}

/** Writes how long each open offer still has, by the hub's clock. */
function countDown() {
  const now = follower?.client.now() ?? null;
  if (now === null) return;
  for (const el of ui.part.querySelectorAll('[data-until]')) {
    const left = (Date.parse(el.dataset.until) - now) / 1000;
    put(el, left > 0 ? say('offer.left', { span: span(left) }) : say('offer.over'));
  }
}

export function startTabs() {
  ui.tabs.addEventListener('click', ({ target }) => {
    const { tab } = target.dataset;
    if (tab) adjust({ tab: tab === EVENTS ? null : tab, ...(tab !== 'person' && { person: null }) });
  });
  // A person, a coach: what a button of a part leads to.
  ui.part.addEventListener('click', ({ target }) => {
    const { person: who, coach } = target.closest('button')?.dataset ?? {};
    if (who) adjust({ tab: 'person', person: who });
    if (coach) adjust({ coach });
  });
  setInterval(countDown, 1000);
}
