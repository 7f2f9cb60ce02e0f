// The frame around every page: navigation, who is signed in, and what is said when a token ends.

import { audit } from './audit.js';
import { bulk } from './bulk.js';
import { consumers } from './consumers.js';
import { h, put } from './dom.js';
import { ago, tick } from './format.js';
import { health } from './health.js';
import { notifications } from './notifications.js';
import { begin, finish, settings } from './oidc.js';
import { order } from './order.js';
import { orders } from './orders.js';
import { parked } from './parked.js';
import { parkedKey } from './parked-key.js';
import { pipeline } from './pipeline.js';
import { route } from './router.js';
import { sagas } from './sagas.js';
import { session, takeTokenFromAddress } from './session.js';
import { signIn, tokenForm } from './signin.js';
import { button, tell } from './ui.js';
import { webhook } from './webhook.js';
import { webhooks } from './webhooks.js';

const ROUTES = [
  ['orders', orders],
  ['orders/:id', order],
  ['sagas', sagas],
  ['notifications', notifications],
  ['webhooks', webhooks],
  ['webhooks/:id', webhook],
  ['parked', parked],
  ['parked/bulk/:id', bulk],
  ['parked/:service/:topic/:key', parkedKey],
  ['consumers', consumers],
  ['pipeline', pipeline],
  ['health', health],
  ['audit', audit],
  ['sign-in', signIn],
];

const MENU = [
  ['Shop', [['orders', 'Orders'], ['sagas', 'Sagas'], ['notifications', 'Notifications'],
    ['webhooks', 'Webhooks']]],
  ['Operations', [['parked', 'Parked keys'], ['consumers', 'Consumers and lanes'],
    ['pipeline', 'Pipeline'], ['health', 'Health'], ['audit', 'Audit']]],
];

const byId = (id) => document.getElementById(id);

function drawMenu(pattern) {
  const current = pattern.split('/')[0];
  const item = ([name, text]) => {
    const { role } = ROUTES.find(([it]) => it === name)[1];
    const isOpen = !role || session.may(...role, 'viewer');
    return h('li', {}, h('a', { href: `#/${name}`, 'aria-current': name === current && 'page' },
      text, !isOpen && h('span', { class: 'lock' }, h('span', { class: 'unseen' }, 'needs '),
        role.at(-1))));
  };
  put(byId('menu'), session.isSignedIn && MENU.map(([name, items]) =>
    [h('h2', {}, name), h('ul', {}, items.map(item))]));
  byId('nav').removeAttribute('data-open');
  byId('menu-button').setAttribute('aria-expanded', 'false');
}

function drawCaller() {
  if (!session.isSignedIn) return put(byId('caller'));
  const { roles, endsAt } = session;
  return put(byId('caller'),
    h('p', { class: 'who' }, session.subject),
    h('p', { class: 'fine' }, roles ? roles.join(', ') : session.token ? '' : 'identity is off',
      endsAt && [h('br'), 'token ends ', ago(new Date(endsAt).toISOString())]),
    button('Sign out', () => session.signOut(), { class: 'small' }));
}

/** Keeps the page and offers to sign in anew, because what is on it may still be needed. */
async function sayRefused(detail) {
  const notice = byId('notice');
  if (notice.hasChildNodes()) return;
  put(notice, h('div', { class: 'notice', role: 'alert' },
    h('p', {}, h('strong', {}, 'You have to sign in anew. '), detail),
    h('div', { id: 'anew' }), tokenForm(() => put(notice))));
  const { oidc } = await settings();
  if (oidc && byId('anew')) {
    put(byId('anew'), button('Sign in', () => begin(oidc), { class: 'primary' }));
  }
}

function listen() {
  setInterval(tick, 1000);
  session.addEventListener('refused', (event) => session.isSignedIn && sayRefused(event.detail));
  session.addEventListener('change', () => {
    put(byId('notice'));
    drawCaller();
  });
  byId('menu-button').addEventListener('click', () => {
    const isOpen = byId('nav').toggleAttribute('data-open');
    byId('menu-button').setAttribute('aria-expanded', String(isOpen));
  });
  // The address names pages with its fragment, so a link to one cannot skip to an element.
  byId('skip').addEventListener('click', (event) => {
    event.preventDefault();
    const main = byId('main');
    (main.querySelector('h1') ?? main).focus();
  });
}

async function start() {
  takeTokenFromAddress();
  listen();
  try {
    await finish();
  } catch (error) {
    tell(error.message, 'bad');
  }
  session.watch();
  drawCaller();
  await route(byId('main'), ROUTES, drawMenu)();
}

start();
