/*
 * The elements of a page, and small changes to them. An element with data-is is a place:
 * modules find it by that name. Text enters the page by textContent only.
 */

/** The places below `root`, by name. */
export const places = (root) => Object.fromEntries([...root.querySelectorAll('[data-is]')].map((el) => [el.dataset.is, el]));

export const ui = places(document);

export const copy = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);

/** Makes an element with a text and properties. */
export function make(tag, text = '', fields = {}) {
  return Object.assign(document.createElement(tag), { textContent: text, ...fields });
}

/** Writes only changes: most of a thousand trains are the same a second later, and a screen reader repeats nothing. */
export function put(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

export function mark(el, key, value) {
  if (el.dataset[key] !== value) el.dataset[key] = value;
}

export function write(root, texts) {
  for (const [key, text] of Object.entries(texts)) if (root[key]) put(root[key], text);
}

export function fill(bar, value, most) {
  const max = most || 1; // a <progress> refuses 0
  if (bar.value !== value || bar.max !== max) Object.assign(bar, { max, value });
}

/** Shows rows of a table or items of a list: `line` fills the places of a copy of the template. */
export function showAll(parent, template, items, line) {
  parent.replaceChildren(...items.map((item) => {
    const el = copy(template);
    line(places(el), item, el);
    return el;
  }));
}
