// The steps of an order's saga, and what is expected next and by when.

import { h } from './dom.js';
import { ago, clock, plain } from './format.js';
import { icon, pill } from './ui.js';
import { awaited, stepName } from './words.js';

const LOOK = {
  waiting: ['clock', 'busy', 'waiting'],
  completed: ['check', 'ok', 'done'],
  failed: ['cross', 'bad', 'not reached'],
  compensated: ['undo', 'undo', 'taken back'],
};

/** The four steps, the saga's state, and its next one. */
export function progress(saga, order) {
  return h('section', { class: 'card steps-card', 'aria-label': 'Progress' },
    h('ol', { class: 'steps' }, saga.steps.map((it) => step(it))),
    h('div', { class: 'next' }, h('span', { class: 'fine' }, 'Saga '), pill(saga.status),
      saga.parked && pill('parked', 'A message about it is parked'), expected(saga, order)));
}

function step({ step: name, state, at, compensated_at, detail }) {
  const [its, tone, word] = LOOK[state];
  return h('li', { class: `step ${tone}`, 'data-state': state },
    h('span', { class: 'mark' }, icon(its)),
    h('div', {},
      h('p', { class: 'name' }, stepName(name)),
      h('p', { class: 'fine' }, detail ? plain(detail) : word,
        (compensated_at ?? at) && [' · ', clock(compensated_at ?? at)])));
}

function expected(saga, order) {
  const next = saga.expected;
  if (!next) {
    const words = order.status === 'cancelled'
      ? 'Both sides have answered; nothing more is expected.'
      : 'Nothing is expected.';
    return h('p', { class: 'expected' }, words);
  }
  return h('p', { class: next.late ? 'expected late' : 'expected' },
    next.late ? pill('late', 'Late') : null,
    next.late ? ' Was expected: ' : 'Expected next: ', h('strong', {}, awaited(next.step)),
    ` from ${next.from}, by `, clock(next.by), ' (', ago(next.by), ')');
}
