// One webhook: what was delivered to it, attempt by attempt, and what can be done.

import { get, path, post, put as replace, query, remove, versioned } from './api.js';
import { ask } from './dialog.js';
import { draw, h } from './dom.js';
import { ago, clock, count, moment, title } from './format.js';
import { every } from './live.js';
import { address, go } from './router.js';
import { session } from './session.js';
import { button, card, crumbs, empty, facts, head, pager, pill, table, tell } from './ui.js';
import { eventName } from './words.js';
import { showSecret, status } from './webhooks.js';

const STATUSES = ['', 'pending', 'delivered', 'failed'];

export const webhook = {
  title: () => 'Webhook',
  role: ['staff'],
  async open(page) {
    const { id } = page.params;
    const { status: only = '', cursor } = page.query;
    const at = path('webhooks', id);
    const about = h('div', {});
    const rest = h('div', {});
    const list = table('Deliveries', columns(at, () => live.now()), (it) => it.id);
    const live = every(page, 4000, async () => {
      const asked = query(`${at}/deliveries`, { status: only, limit: 50, cursor });
      const [it, found] = await Promise.all([
        versioned(at, { signal: page.signal }), get(asked, { signal: page.signal }),
      ]);
      draw(about, it, () => itself(it, at, () => live.now()));
      list.show(found.items);
      const next = found.next_cursor;
      draw(rest, [found.items.length === 0, next], () => [
        found.items.length === 0 && empty('Nothing is to be delivered, or was last week.'),
        pager(cursor && [address(`webhooks/${id}`, { status: only }), '← Newest'],
          next && [address(`webhooks/${id}`, { status: only, cursor: next }), 'Older →']),
      ]);
    });
    page.show(
      crumbs('#/webhooks', 'Webhooks'),
      head('Webhook', null, live.toggle), live.said, about,
      h('nav', { class: 'views', 'aria-label': 'Which deliveries' }, STATUSES.map((name) =>
        h('a', { href: address(`webhooks/${id}`, { status: name }),
          'aria-current': name === only && 'true' }, name ? title(name) : 'All deliveries'))),
      list.node, rest,
    );
    await live.now();
  },
};

function columns(at, again) {
  return [
    ['Status', (it) => pill(it.status)],
    ['Event', (it) => h('span', {}, eventName(it.type), ' ',
      h('span', { class: 'fine mono break' }, it.event_id)), 'wide'],
    ['Attempts', attempts, 'wide'],
    ['Next attempt', (it) => ago(it.next_attempt_at), 'nowrap'],
    ['Actions', (it) => session.may('staff') && button('Resend', async () => {
      await post(`${at}/deliveries/${encodeURIComponent(it.id)}/resend`);
      tell(`${eventName(it.type)} is sent again.`);
      again();
    }, { class: 'small' })],
  ];
}

function attempts({ attempts: all }) {
  if (all.length === 0) return 'none yet';
  const last = all.at(-1);
  const words = (it) => [it.status ? `${it.status}` : it.error ?? 'no answer', ` in ${it.ms} ms`];
  return h('details', { class: 'fold inline' },
    h('summary', {}, count(all.length, 'attempt'), ', last: ', words(last)),
    h('ol', { class: 'attempts' }, all.map((it) => h('li', {}, clock(it.at), ' ', words(it),
      it.status && it.error ? `: ${it.error}` : ''))));
}

function itself({ value: it, etag }, at, again) {
  return card(null,
    h('p', {}, status(it), ' ', h('strong', { class: 'break' }, it.url)),
    facts([
      ['Events', it.events[0] === '*' ? 'all' : it.events.join(', ')],
      ['Description', it.description],
      ['Made', moment(it.created_at)],
      ['Id', h('span', { class: 'mono' }, it.id)],
    ]),
    session.may('staff') && h('div', { class: 'buttons start' },
      it.status === 'enabled'
        ? button('Disable…', () => change(it, etag, at, 'disabled', again))
        : button('Enable…', () => change(it, etag, at, 'enabled', again), { class: 'primary' }),
      button('Replay…', () => recover(at, again)),
      button('New secret…', () => rotate(at)),
      button('Delete…', () => erase(it, etag, at), { class: 'danger outline' })));
}

async function change(it, etag, at, next, again) {
  const done = await ask({
    name: next === 'enabled' ? 'Enable this webhook?' : 'Disable this webhook?',
    about: next === 'enabled'
      ? 'What waited while it was disabled is tried for three days from now.'
      : 'Nothing is posted to it until it is enabled; events wait.',
    verb: next === 'enabled' ? 'Enable' : 'Disable',
    danger: next === 'disabled',
    run: () => {
      const { url, events, description } = it;
      return replace(at, { url, events, description, status: next },
        { headers: { 'if-match': etag } });
    },
  });
  if (done) again();
}

async function recover(at, again) {
  const time = (text) => (text ? new Date(text).toISOString() : undefined);
  const told = await ask({
    name: 'Deliver events again',
    about: 'Kept events of that time are delivered again, or for the first time. A receiver drops '
      + 'what it had by the webhook-id.',
    fields: [
      { name: 'from', label: 'From', kind: 'datetime-local', required: true },
      { name: 'to', label: 'Before', kind: 'datetime-local', required: true },
    ],
    verb: 'Deliver again',
    run: ({ from, to }) => post(`${at}/replay`, { from: time(from), to: time(to) }),
  });
  if (!told) return;
  tell(`${count(told.events, 'event')} will be delivered.`);
  again();
}

async function rotate(at) {
  const it = await ask({
    name: 'Give it a new secret?',
    about: 'For a day the old one signs beside it.',
    verb: 'New secret',
    run: () => post(`${at}/rotate-secret`),
  });
  if (it) await showSecret(it.secret);
}

async function erase(it, etag, at) {
  const done = await ask({
    name: 'Delete this webhook?',
    about: `Nothing is posted to ${it.url} any more, and its deliveries are forgotten.`,
    verb: 'Delete',
    danger: true,
    run: async () => {
      await remove(at, { headers: { 'if-match': etag } });
    },
  });
  if (!done) return;
  tell('The webhook is deleted.');
  go('webhooks');
}
