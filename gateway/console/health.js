// How the gateway and the services behind it are.

import { get, query } from './api.js';
import { h, put } from './dom.js';
import { duration } from './format.js';
import { every } from './live.js';
import { settings } from './oidc.js';
import { session } from './session.js';
import { card, facts, head, link, pill, problem, sheet } from './ui.js';

const SERVICES = ['order-svc', 'payment-svc', 'inventory-svc', 'notify-svc'];

export const health = {
  title: () => 'Health',
  async open(page) {
    const room = h('div', {});
    const { jaegerUrl } = await settings();
    const live = every(page, 5000, async () => {
      const [gateway, services] = await Promise.all([
        asked('gateway', '/health', page.signal),
        Promise.all(SERVICES.map((it) => reached(it, page.signal))),
      ]);
      put(room, shown(gateway, services));
    });
    page.show(
      head('Health', 'How the gateway is, and whether each service answers through it.',
        live.toggle),
      live.said, room,
      card('Elsewhere', h('ul', { class: 'plain' },
        h('li', {}, link('/docs', 'The API, to try requests on')),
        h('li', {}, link('/problems', 'What each problem means')),
        jaegerUrl && h('li', {}, link(jaegerUrl, 'Traces in Jaeger')))),
    );
    await live.now();
  },
};

async function asked(name, address, signal) {
  const began = performance.now();
  const took = () => (performance.now() - began) * 1000;
  try {
    return { name, told: await get(address, { signal }), took: took() };
  } catch (error) {
    if (signal.aborted) throw error;
    return { name, told: error.status ? error.body : null, error, took: took() };
  }
}

/** A service is asked something small that this caller may ask. */
function reached(name, signal) {
  if (!session.may('operator', 'viewer')) return { name, told: null };
  return asked(name, query('/v1/lanes', { service: name }), signal);
}

function shown(gateway, services) {
  const problems = Object.entries(gateway.told?.problems ?? {});
  const wrong = (name) => problems.find(([it]) => it === name)?.[1];
  const state = ({ name, told, error, took }) => {
    if (wrong(name)) return 'failing';
    if (error) return 'unreachable';
    return took === undefined ? 'unknown' : told?.status ?? 'healthy';
  };
  return [
    card('Processes', sheet('Processes', [
      ['State', (it) => pill(state(it), undefined, wrong(it.name) ? 'bad' : undefined)],
      ['Process', (it) => h('strong', {}, it.name)],
      ['Answered in', (it) => (it.took === undefined ? '–' : duration(it.took)), 'num'],
      ['What is wrong', (it) => wrong(it.name) ?? (it.name === 'gateway' ? '–'
        : it.error?.message ?? '–'), 'wide'],
    ], [gateway, ...services])),
    problems.length > 0 && card('What the gateway says',
      facts(problems.map(([name, what]) => [name, String(what)]))),
    gateway.error && gateway.error.status !== 503 && problem(gateway.error),
    !session.may('operator', 'viewer') && h('p', { class: 'fine' },
      'Whether services answer is asked by operators and viewers.'),
  ];
}
