/*
 * What the page's address says after `#`: the view, like run=12345/2026-11-23 or station=NDLS. So
 * each view has a link. A token given there leaves the address at once. The list's filter is in the
 * query, which a hub ignores.
 */

const KEPT = 'trainhub.staff';

let shown = new URLSearchParams(location.hash.slice(1));
const given = shown.get('token');
if (given !== null) {
  sessionStorage.setItem(KEPT, given);
  shown.delete('token');
  history.replaceState(null, '', addressOf(shown));
}

/** The staff's token of this tab, or null. */
export const token = sessionStorage.getItem(KEPT);

function addressOf(parts) {
  const text = parts.toString().replaceAll('%2F', '/');
  return location.pathname + location.search + (text && `#${text}`);
}

export const shows = (key) => shown.get(key);

/** The link to a view, for an <a>. */
export const linkTo = (parts) => addressOf(new URLSearchParams(parts));

/** Goes to a view. The browser's back button returns to the one before. */
export function goTo(parts) {
  const address = linkTo(parts);
  if (address === addressOf(shown)) return;
  history.pushState(null, '', address);
  moved();
}

/** Changes a part of the view. The back button does not stop there. */
export function adjust(parts) {
  const next = new URLSearchParams(shown);
  for (const [key, value] of Object.entries(parts)) {
    if (value) next.set(key, value);
    else next.delete(key);
  }
  history.replaceState(null, '', addressOf(next));
  moved();
}

/** Writes the list's filter into the query. */
export function setQuery(text) {
  history.replaceState(null, '', `?${text}${location.hash}`);
}

let onMove = () => {};

/** Calls `then` when the view changes. */
export function watchAddress(then) {
  onMove = then;
  addEventListener('popstate', moved);
}

function moved() {
  shown = new URLSearchParams(location.hash.slice(1));
  if (shown.has('token')) return location.reload(); // a new token: start over with it
  onMove();
}

/** Logs in or out: keeps the token in this tab, or drops it, and starts the page over. */
export function useToken(text) {
  if (text) sessionStorage.setItem(KEPT, text);
  else sessionStorage.removeItem(KEPT);
  location.reload();
}
