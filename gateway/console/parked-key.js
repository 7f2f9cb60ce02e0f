// The messages of one parked key, decoded as far as they can be.

import { all, get, path } from './api.js';
import { h, put } from './dom.js';
import { moment, number, short } from './format.js';
import { keyActions } from './parked-actions.js';
import { go } from './router.js';
import { session } from './session.js';
import { button, copy, crumbs, facts, head, json, orderLink, pill, problem } from './ui.js';
import { service as named } from './words.js';

const ORDER_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export const parkedKey = {
  title: ({ key }) => `Parked: ${short(key)}`,
  role: ['operator'],
  async open(page) {
    const { service, topic, key } = page.params;
    const it = { service, topic, key };
    const at = path('parked', service, topic, key);
    const room = h('div', {});
    const show = async () => {
      try {
        const { items, isWhole } = await all(at, {}, { signal: page.signal, most: 200 });
        put(room,
          session.may('operator') && keyActions(it, show, items[0]),
          h('ol', { class: 'messages' }, items.map((one, n) => message(one, n, at))),
          !isWhole && h('p', { class: 'fine' }, 'Only the first messages are shown.'));
      } catch (error) {
        // What was released is not there any more: that is how it ends well.
        if (error.status !== 404 || !room.hasChildNodes()) throw error;
        go('parked');
      }
    };
    await show();
    page.show(
      crumbs('#/parked', 'Parked keys'),
      head(h('span', { class: 'mono break' }, short(key)), `at ${service}, from topic ${topic}`,
        ORDER_ID.test(key) && orderLink(key, 'Its order'), copy(key, 'key')),
      room,
    );
  },
};

function message(it, n, at) {
  const payload = h('div', {}, bytes(it));
  return h('li', { class: 'card' },
    h('div', { class: 'row' }, h('h2', {}, `${n + 1}. `, it.type ?? 'Message without a type'),
      it.reason ? pill('failed', 'It stopped the key') : pill('waiting', 'Waits behind it')),
    it.reason && h('p', { class: 'bad-text break' }, it.reason),
    facts([
      ['Source', it.source && named(it.source)],
      ['Version', it.version],
      ['Partition', it.partition],
      ['Offset', number(it.offset)],
      ['Parked', moment(it.parked_at)],
      ['Event id', it.event_id && h('span', { class: 'mono' }, it.event_id)],
      ['Bytes', number(it.payload_bytes)],
    ]),
    it.data && json(it.data),
    !it.data && it.not_decoded !== it.reason
      && h('p', { class: 'fine' }, 'Not decoded: ', it.not_decoded ?? 'no reason is told'),
    payload,
    it.truncated && button('Show the whole payload', async (event) => {
      try {
        put(payload, bytes(await get(`${at}/${it.parked_id}`)));
        event.target.remove();
      } catch (error) {
        put(payload, problem(error));
      }
    }, { class: 'small' }));
}

/** The payload as hexadecimal and text, sixteen bytes a line. */
function bytes({ payload, truncated }) {
  if (payload === null) return h('p', { class: 'fine' }, 'The payload is not shown to viewers.');
  const text = atob(payload);
  const lines = [];
  for (let at = 0; at < text.length; at += 16) {
    const part = [...text.slice(at, at + 16)];
    const hex = part.map((it) => it.charCodeAt(0).toString(16).padStart(2, '0')).join(' ');
    const shown = part.map((it) => (it >= ' ' && it <= '~' ? it : '·')).join('');
    lines.push(`${at.toString(16).padStart(4, '0')}  ${hex.padEnd(47)}  ${shown}`);
  }
  return h('details', { class: 'fold' },
    h('summary', {}, truncated ? 'Payload, cut' : 'Payload'),
    h('pre', { class: 'code hex', tabindex: '0' }, lines.join('\n') || 'empty'));
}
