// Reads journeys from stdin: the run as the hub shows it at first, and after each command the events
// and the run. Prints each difference between the hub's run and that of staff_view.js.
import { text } from 'node:stream/consumers';
import { isDeepStrictEqual } from 'node:util';
import { StaffView } from '../../static/staff_view.js';

const SHOWN = ['status', 'seq', 'index', 'departed', 'station', 'next', 'delayMinutes', 'passengers', 'offers', 'checked'];
const OFFER = ['offerId', 'pnr', 'index', 'coach', 'berth', 'from', 'to', 'name', 'reason', 'expiresAt', 'delivered'];
const pick = (value, names) => Object.fromEntries(names.map((name) => [name, value[name]]));
const ms = (moment) => moment && Math.floor(Date.parse(moment) / 1000);

/** What is shown of a run: open offers, and times to the second. */
function picture(run) {
  const { passengers, offers, ...rest } = pick(run, SHOWN);
  return {
    ...rest,
    next: rest.next && { ...rest.next, expected: ms(rest.next.expected) },
    passengers: passengers.map((each) => ({ ...each, markedAt: ms(each.markedAt) })),
    offers: offers.filter(({ state }) => state === 'OPEN')
      .map((each) => ({ ...pick(each, OFFER), expiresAt: ms(each.expiresAt) })),
  };
}

for (const { name, first, steps } of JSON.parse(await text(process.stdin))) {
  let view = new StaffView(first);
  for (const { command, events, run } of steps) {
    if (!events.every((event) => view.evolve(event))) view = new StaffView(run);
    view.run.seq = run.seq; // the last events may be for others
    const [made, wanted] = [picture(view.run), picture(run)];
    for (const part of SHOWN.filter((each) => !isDeepStrictEqual(made[each], wanted[each]))) {
      console.log(`${name} ${command}: ${part}: ${JSON.stringify(made[part])} is not ${JSON.stringify(wanted[part])}`);
    }
  }
}
