// How lanes of the relay are listed.

import { ago, number } from './format.js';
import { pill } from './ui.js';

/** The lag of a lane is counted up to here. */
const LAG_MAX = 100_000;

export const laneRows = (...more) => [
  ['State', (it) => pill(it.state)],
  ['Service', (it) => it.service, 'name'],
  ['Waiting', (it) =>
    (it.lag >= LAG_MAX ? `${number(LAG_MAX)} or more` : number(it.lag)), 'num'],
  ['Why', (it) => (it.reason ? [it.reason, ', ', ago(it.since)] : '–'), 'wide'],
  ...more,
];
