// Reads runs from stdin, as a SNAPSHOT shows them to the staff. Prints whose NT static/staff_view.js
// lets a TTE undo on each of them.
import { text } from 'node:stream/consumers';
import { StaffView, personOf } from '../../static/staff_view.js';

const undone = JSON.parse(await text(process.stdin)).map((run) => {
  const view = new StaffView(run);
  return run.passengers.filter((each) => view.undoEnds(each) > 0).map(personOf);
});
console.log(JSON.stringify(undone));
