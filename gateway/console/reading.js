// Pauses and resumes what a service reads, and what is published for it.

import { path, post } from './api.js';
import { REASON, ask } from './dialog.js';

export function pause({ service, topic }) {
  return ask({
    name: `Pause ${topic} at ${service}?`,
    about: 'Nothing of the topic is read by any instance until it is resumed; HTTP goes on. Orders '
      + 'that wait for these events stand still.',
    fields: [REASON],
    verb: 'Pause',
    danger: true,
    run: async ({ reason }) => {
      await post(path('consumers', service, 'pause'), { topic, reason });
      return `${service} does not read ${topic} any more.`;
    },
  });
}

const FROM = {
  here: 'Here: the first message that is still there at or after the committed offset. What is '
    + 'missing comes by a replay.',
  beginning: 'The beginning: all that Kafka has, once more. For a topic that was made anew, or '
    + 'when in doubt.',
  offset: 'An offset that you know.',
};

/** Resumes a paused topic where it was, or a stopped partition `from` somewhere. */
export function resume({ service, topic, partition = null }, { from = null }) {
  const where = partition === null ? topic : `${topic}, partition ${partition}`;
  return ask({
    name: `Resume ${where} at ${service}?`,
    about: from ? FROM[from] : 'It goes on where it was.',
    fields: [
      from === 'offset' && { name: 'offset', label: 'Offset', kind: 'number', min: 0,
        required: true },
      REASON,
    ].filter(Boolean),
    verb: 'Resume',
    run: async ({ offset, reason }) => {
      await post(path('consumers', service, 'resume'), {
        topic,
        partition: from ? partition : undefined,
        from: from === 'offset' ? { offset: Number(offset) } : from ?? undefined,
        reason,
      });
      return `${service} reads ${where} again.`;
    },
  });
}

export function pauseLane({ service }) {
  return ask({
    name: `Pause the lane of ${service}?`,
    about: 'Its events wait in its outbox until the lane is resumed. Nothing is lost, and nobody '
      + 'hears of them.',
    fields: [REASON],
    verb: 'Pause',
    danger: true,
    run: async ({ reason }) => {
      await post(path('lanes', service, 'pause'), { reason });
      return `The lane of ${service} is paused.`;
    },
  });
}

export function resumeLane({ service }, from = null) {
  return ask({
    name: `Resume the lane of ${service}?`,
    about: from === 'beginning'
      ? 'Everything that its outbox still has is published once more, with the same ids.'
      : 'It goes on where it was.',
    fields: [REASON],
    verb: 'Resume',
    run: async ({ reason }) => {
      await post(path('lanes', service, 'resume'), { from: from ?? undefined, reason });
      return `The lane of ${service} publishes again.`;
    },
  });
}
