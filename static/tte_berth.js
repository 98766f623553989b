/*
 * Another berth for a passenger, by the TTE's decision: a vacant one with the reason, or the berth
 * of another passenger in exchange. Only the hub knows what is vacant, so this needs the hub.
 */

import { make, put, ui } from './elements.js';
import { ask } from './page.js';
import { personOf } from './staff_view.js';

let mover = null; // whose berth the dialog is about

/** Opens the dialog for a person. The page gives its view, its words, its token, and how it sends. */
export async function moveBerth(person, { view, words, token, placeOf, send }) {
  const { trainNo, startDate, stations } = view.run;
  const give = (type, fields) => send(type, { pnr: person.pnr, index: person.index, ...fields });
  mover = personOf(person);
  put(ui.moveTitle, words.say('move.title', { name: person.name }));
  put(ui.moveNow, words.say('move.now', { place: placeOf(person), from: view.stationName(person.from), to: view.stationName(person.to) }));
  ui.move.showModal();
  const others = view.partners(person);
  offer(ui.swap, others, (each) => `${placeOf(each)} ${each.name}`, others.length ? '' : words.say('swap.none'), (other) => {
    give('SWAP_BERTHS', { otherPnr: other.pnr, otherIndex: other.index });
  });
  offer(ui.allot, [], null, words.say('allot.asks'));
  const vacant = await ask(token, 'GET', `api/trains/${trainNo}/vacancies?date=${startDate}`).catch((error) => error);
  if (mover !== personOf(person)) return; // the dialog is about another by now
  const isOther = (each) => each.class !== person.class;
  const fit = vacant instanceof Error ? [] : vacant.filter((each) => view.fits(each, person)).sort((a, b) => isOther(a) - isOther(b));
  const textOf = (each) => [placeOf(each), words.say(`berth.${each.berthType}`), each.class].join(', ');
  const none = vacant.message ?? (fit.length ? '' : words.say('allot.none', { to: stations.find(({ stop }) => stop === person.to).name }));
  offer(ui.allot, fit, textOf, none, ({ coach, berth }) => {
    const { reason, note } = ui.allot.elements;
    give('ALLOT_BERTH', { coach, berth, reason: reason.value, note: note.value.trim() || null });
  });
}

/** Lets the TTE choose one of the items in a form, or says why the form is empty. */
function offer(form, items, textOf, none, chosen) {
  const [choice] = form.elements;
  choice.replaceChildren(...items.map((each, i) => make('option', textOf(each), { value: i })));
  put(form.querySelector('.none'), none);
  form.querySelector('.fields').hidden = Boolean(none);
  form.onsubmit = (event) => {
    event.preventDefault();
    ui.move.close();
    chosen(items[choice.value]);
  };
}
