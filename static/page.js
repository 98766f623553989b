/*
 * What the pages share: lists, the token, requests, the language, the link.
 */

import { copy, places } from './elements.js';
import { connect } from './trainhub.js';
import { chooseLanguage, chosenLanguage, loadWords, textFiles } from './words.js';

/**
 * Shows a list. `keyOf` names an item: its element is made once from a template, then only updated,
 * so that it keeps the focus and stays under the finger.
 */
export function showList(parent, items, keyOf, template, update) {
  const before = new Map([...parent.children].map((el) => [el.dataset.key, el]));
  let last = null;
  for (const item of items) {
    const key = keyOf(item);
    let el = before.get(key);
    before.delete(key);
    if (!el) {
      el = copy(template);
      el.dataset.key = key;
      el.places = places(el);
    }
    update(el.places, item, el);
    const place = last ? last.nextElementSibling : parent.firstElementChild;
    if (el !== place) parent.insertBefore(el, place);
    last = el;
  }
  for (const el of before.values()) el.remove();
}

/** Takes the values of the address's fragment. The token leaves the address at once. */
export function takeFragment() {
  const given = new URLSearchParams(location.hash.slice(1));
  const token = given.get('token');
  if (token !== null) {
    given.delete('token');
    history.replaceState(null, '', `${location.pathname}${location.search}#${given}`);
  }
  return { given, token };
}

/** Reads the claims of a token. Only the hub checks the signature; null if the text is no token. */
export function claimsOf(token) {
  try {
    const text = atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (each) => each.charCodeAt(0))));
  } catch {
    return null;
  }
}

/** Asks the hub over HTTP. Throws an error that has the hub's words. */
export async function ask(token, method, path, body) {
  const response = await fetch(path, {
    method,
    headers: { Authorization: `Bearer ${token}`, ...(body && { 'Content-Type': 'application/json' }) },
    body: body && JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error.message);
  return answer.result;
}

/** Connects to the page's hub, and shows the link's state on <body data-link>, for the looks. */
export function connectPage(options) {
  const hub = connect(new URL('ws', document.baseURI).href, {
    ...options,
    onState: (state, detail) => {
      document.body.dataset.link = { live: 'live', connecting: 'waiting' }[state] ?? 'lost';
      // A second reading of the hub's clock says how fast it runs: a demo's is faster than life.
      if (state === 'live') setTimeout(() => hub.check(), 1500);
      options.onState(state, detail);
    },
  });
  return hub;
}

/** Loads the words of the chosen language, and lets the page's <select> choose another. `name` begins the texts' file. */
export async function speak(select, changed, name) {
  const use = (words) => {
    words.fillPage();
    changed(words);
  };
  select.value = chosenLanguage();
  select.onchange = async () => {
    const words = await loadWords(select.value, name).catch(() => null);
    if (words) {
      chooseLanguage(words.language);
      use(words);
    } else {
      select.value = document.documentElement.lang; // the texts did not come: the hub is away
    }
  };
  use(await loadWords(select.value, name));
}

/** Opens the page without a network from now on, and lets it be installed: keeps the files that it has loaded. */
export async function workOffline() {
  if (!navigator.serviceWorker) return; // only a secure page has one
  await navigator.serviceWorker.register('sw.js');
  if (navigator.serviceWorker.controller) return; // which keeps each file that it passes on
  const files = performance.getEntriesByType('resource').map(({ name }) => name.split('?')[0]);
  const own = files.filter((name) => name.startsWith(new URL('static/', document.baseURI).href));
  const cache = await caches.open('trainhub');
  await cache.addAll([...new Set([location.pathname, ...own, ...textFiles])]);
}
