/*
 * The staff's token: whose it is, which runs it covers, and requests with it. Without one the page
 * shows what is public.
 */

import { token, useToken } from './address.js';
import { put, ui } from './elements.js';
import { tell } from './wording.js';

const STAFF = ['ADMIN', 'TTE'];
const TIMEOUT_MS = 15_000;

let me = null;

/** The staff's user, role and trains; null without a token of staff. */
export const staff = () => me;

export function covers({ run, trainNo }) {
  return me !== null && ['*', run, trainNo].some((each) => me.trains.includes(each));
}

const authorization = () => token && { Authorization: `Bearer ${token}` };

/** Saves what the hub answers as a file. An <a> could not send the token. */
export async function askForFile(path, name) {
  const response = await fetch(path, { cache: 'no-store', headers: { ...authorization() } });
  const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(await response.blob()), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), TIMEOUT_MS);
}

/**
 * Asks the hub, with the token if there is one; sends `body` if it is given. A command has a `key`,
 * so that it happens once. Throws an error with the hub's words.
 */
export async function ask(path, body = null, key = null, method = body ? 'POST' : 'GET') {
  const headers = {
    ...authorization(),
    ...(body && { 'Content-Type': 'application/json' }),
    ...(key && { 'Idempotency-Key': key }),
  };
  const sent = body && { body: JSON.stringify(body) };
  const response = await fetch(path, { method, cache: 'no-store', headers, ...sent, signal: AbortSignal.timeout(TIMEOUT_MS) });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.error.message), answer.error);
  return answer;
}

/** Asks the hub whose token this is. Calls `then` if it is one of staff. */
async function identify(then) {
  try {
    const { result } = await ask('api/me');
    if (!STAFF.includes(result.role)) return refuse('login.role', { role: result.role });
    me = result;
    put(ui.who, `${me.user}, ${me.role}`);
    document.body.dataset.role = me.role;
    then();
  } catch (error) {
    if (error.code === 'BAD_TOKEN') refuse('login.refused');
    else setTimeout(() => identify(then), TIMEOUT_MS / 3); // the hub is away, or starts
  }
}

function refuse(name, values) {
  tell(ui.loginNews, name, values);
  if (!ui.login.open) ui.login.showModal();
}

export function startStaff(then) {
  ui.logIn.hidden = Boolean(token);
  ui.logOut.hidden = !token;
  ui.logIn.addEventListener('click', () => ui.login.showModal());
  ui.logOut.addEventListener('click', () => useToken(''));
  ui.loginForm.addEventListener('submit', () => useToken(ui.loginForm.elements.token.value.trim()));
  ui.loginAway.addEventListener('click', () => { ui.login.close(); if (token && !me) useToken(''); });
  if (token) identify(then);
}
