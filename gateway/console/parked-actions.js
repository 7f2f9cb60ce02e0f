// What an operator does to one parked key.

import { path, post } from './api.js';
import { REASON, ask } from './dialog.js';
import { h } from './dom.js';
import { count } from './format.js';
import { address } from './router.js';
import { button, tell } from './ui.js';

const of = (it, ...more) => path('parked', it.service, it.topic, it.key, ...more);

export const keyAddress = (it) =>
  address(['parked', it.service, it.topic, it.key].map(encodeURIComponent).join('/'));

/** The buttons for a key; `done` is called after each. `first` is its first message, if known. */
export function keyActions(it, done, first = null) {
  const offer = (text, act, props = {}) => button(text, async () => {
    const said = await act(it, first);
    if (!said) return;
    tell(said);
    done();
  }, { class: 'small', ...props });
  return h('div', { class: 'buttons start' },
    offer('Release…', release),
    offer('Discard…', discard, { class: 'small danger outline' }),
    offer('Replace…', replace));
}

const named = (it) => h('p', {}, h('span', { class: 'mono break' }, it.key), ' at ', it.service,
  ', topic ', h('span', { class: 'mono' }, it.topic), '.');

// The API takes no reason for the release of one key: nothing is asked that would not be kept.
function release(it) {
  return ask({
    name: 'Release this key?',
    about: [named(it), 'Its messages are processed again, in order, under their own ids. It stops '
      + 'at the first that still fails. The audit keeps your name and the time.'],
    verb: 'Release',
    run: async () => {
      const { released } = await post(of(it, 'release'));
      return `${count(released, 'message')} released.`;
    },
  });
}

function discard(it) {
  return ask({
    name: 'Discard its first message?',
    about: [named(it), 'The message that failed is dropped for good. Those behind it stay parked '
      + 'until they are released. What was dropped is kept in the audit.'],
    fields: [REASON],
    verb: 'Discard',
    danger: true,
    run: async ({ reason }) => {
      await post(of(it, 'discard'), { reason });
      return 'The first message is discarded.';
    },
  });
}

function replace(it, first) {
  return ask({
    name: 'Replace its first message',
    about: [named(it), 'The first message gets another payload, and then waits for the release. '
      + 'Without a version nothing is released: it would stand in no history.'],
    fields: [
      { name: 'file', label: 'Payload from a file', kind: 'file' },
      { name: 'payload', label: 'Payload, in base64', kind: 'textarea', required: true, max: 60_000,
        value: first?.truncated ? '' : first?.payload ?? '' },
      { name: 'event_type', label: 'Event type', max: 200, value: first?.type ?? '',
        placeholder: 'shop.stock.v1.StockReserved' },
      { name: 'version', label: 'Version', kind: 'number', min: 1, value: first?.version ?? '' },
      REASON,
    ],
    verb: 'Replace',
    danger: true,
    setUp: readFile,
    run: async ({ payload, event_type, version, reason }) => {
      await post(of(it, 'replace'), {
        payload: payload.replaceAll(/\s/g, ''), reason,
        event_type: event_type || undefined, version: version ? Number(version) : undefined,
      });
      return 'The first message is replaced; it still waits for its release.';
    },
  });
}

function readFile(form) {
  form.elements.file.addEventListener('change', async (event) => {
    const bytes = new Uint8Array(await event.target.files[0].arrayBuffer());
    form.elements.payload.value = btoa(Array.from(bytes, (it) => String.fromCharCode(it)).join(''));
  });
}
