/*
 * Gives a command after a question that says what will happen, in words. The client keeps a command
 * until it is answered, so that it happens once.
 */

import { make, put, ui } from './elements.js';
import { say, tell } from './wording.js';

const WITHIN_MS = 30_000; // a command that could not be sent by then is given up, and said so

/** Asks a question in a dialog. Returns whether the answer is yes. */
export function sure(question) {
  put(ui.sureText, question);
  ui.sure.returnValue = '';
  ui.sure.showModal();
  return new Promise((then) => {
    ui.sure.addEventListener('close', () => then(ui.sure.returnValue === 'yes'), { once: true });
  });
}

/** Gives a command of the run after the question, and says what became of it. Returns whether the answer was yes. */
export async function give({ trainNo, startDate }, { client }, [question, type, fields]) {
  if (!await sure(question)) return false;
  tell(ui.done, 'done.waiting');
  try {
    const { unchanged } = await client.command(type, { trainNo, startDate, ...fields }, { withinMs: WITHIN_MS });
    tell(ui.done, unchanged ? 'done.unchanged' : 'done');
  } catch (error) {
    tell(ui.done, 'done.not', { reason: error.message });
  }
  return true;
}

/** Makes a button that gives a command; `name` names its text. `key` keeps the focus when the part is drawn again. */
export function commandButton(name, key, ...command) {
  const button = make('button', say(name), { type: 'button' });
  button.dataset.key = `${name} ${key}`;
  button.addEventListener('click', () => give(...command));
  return button;
}

/** Calls `then` with the values of a form when it is sent. */
export function onSubmit(root, then) {
  root.addEventListener('submit', (event) => {
    event.preventDefault();
    then(event.target, Object.fromEntries(new FormData(event.target)));
  });
}
