/** What the types of trainhub.js allow: tsc accepts all of it. */

import { connect, HubError } from '../../static/trainhub.js';
import type { Answer, EventOf, HubEvent } from '../../static/trainhub.js';

const hub = connect('/ws', { token: async () => 'a.b.c' });

const train = hub.subscribe('12345', {
  event(event) { tell(event); },
  snapshot: ({ run }) => run.passengers?.map((person) => `${person.name} ${person.state}`),
  state: ({ station, next, passengers }) => `${station.name} ${next?.expected} ${passengers?.length}`,
  figures: (figure) => (figure.type === 'PRESENCE' ? figure.data.ttes : figure.data.classes.length),
  nextRun: ({ data }) => hub.subscribe(data),
  STATION_ARRIVAL: ({ data }) => data.station.name + data.delayMinutes,
  async UPGRADE_OFFER({ data: { offerId } }) { await hub.command('ACCEPT_OFFER', { offerId }); },
  error: (error) => error.final,
});

function tell(event: HubEvent): string {
  switch (event.type) {
    case 'STATION_ARRIVAL': return `${event.data.station.code} ${event.data.actual}`;
    case 'UPGRADE_CLOSED': return event.data.outcome === 'EXPIRED' ? 'too late' : event.data.offerId;
    case 'BERTH_VACATED': return `${event.data.coach}-${event.data.berth} ${event.data.cause}`;
    default: return `${event.trainNo} ${event.seq}`;
  }
}

const late: number | undefined = train.state?.delayMinutes;
const arrived: EventOf<'STATION_ARRIVAL'>['data']['next'] = null;

async function work(): Promise<Answer<'ANNOUNCE'>> {
  await train.command('START_JOURNEY');
  await train.command('ARRIVE', { stationCode: 'BWN', at: '2026-11-23T17:05:00+05:30' }, { withinMs: 60_000 });
  await hub.command('SET_DELAY', { trainNo: 12345, delayMinutes: 5 });
  const marked = await train.command('MARK_NO_SHOW', { pnr: '4512345602', index: 1 });
  if ('name' in marked) marked.name.toUpperCase();
  const batch = await train.command('BATCH', { marks: [{ mark: 'BOARDED', pnr: '4512345602', index: 1 }] });
  batch.marks.forEach((mark) => ('error' in mark ? mark.error.code : mark.result.seq));
  const loaded = await hub.command('REGISTER_TRAIN', {
    trainNo: '12345', trainName: 'SARAIGHAT EXP', startDate: '2026-11-23', policy: 'OFFER',
    stations: [{ code: 'HWH', name: 'HOWRAH JN', departure: '15:50' }, { code: 'BWN', name: 'BARDDHAMAN', arrival: '17:03' }],
    coaches: [{ code: 'S1', class: 'SL', type: 'ICF' }],
  });
  loaded.rejected.map(({ line, reason }) => `${line} ${reason}`);
  return hub.command('ANNOUNCE', { trainNo: '12345', text: 'Tea is served.', to: 'STAFF', level: 'INFO' });
}

work().catch((error: HubError) => error.code);
export { arrived, late };
