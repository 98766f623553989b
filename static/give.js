/*
 * Gives a command after a question that says what will happen, in words. The client keeps a command
 * until it is answered, so that it happens once.
 */

import { make, put, ui } from './elements.js';

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
  put(ui.done, 'Waiting for the hub…');
  try {
    const { unchanged } = await client.command(type, { trainNo, startDate, ...fields }, { withinMs: WITHIN_MS });
    put(ui.done, unchanged ? 'It was so already.' : 'Done.');
  } catch (error) {
    put(ui.done, `Not done: ${error.message}`);
  }
  return true;
}

/** Makes a button that gives a command. `key` keeps the focus when the part is drawn again. */
export function commandButton(text, key, ...command) {
  const button = make('button', text, { type: 'button' });
  button.dataset.key = `${text} ${key}`;
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
