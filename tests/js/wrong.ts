/** Mistakes in an app: tsc rejects each line that says so, and no other. */

import { connect } from '../../static/trainhub.js';

const hub = connect('/ws');
const train = hub.subscribe('12345', {
  STATION_ARRIVAL: ({ data }) => data.offerId, // wrong: a field that the event lacks
  STATION_ARIVAL: () => undefined, // wrong: an event's name
  event(event) {
    if (event.type === 'UPGRADE_CLOSED') return void event.data.outcome.toUpperCase();
    event.data.outcome; // wrong: a field of another event
  },
});

train.command('SKIP_STATON', { stationCode: 'BWN' }); // wrong: a command's name
train.command('SKIP_STATION'); // wrong: a missing field
train.command('SET_DELAY', { delayMinutes: '5' }); // wrong: a field's type
train.command('START_JOURNEY', { platform: '4' }); // wrong: an unknown field
train.command('ANNOUNCE', { text: 'hello', level: 'LOUD' }); // wrong: a value of an enum
hub.command('START_JOURNEY', {}); // wrong: no train
hub.command('ARRIVE', { trainNo: '12345', stationCode: 'BWN' }).then(({ delay }) => delay); // wrong: a field of the answer
