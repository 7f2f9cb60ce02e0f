// The parts that pages are made of.

import { h, put, s, sync } from './dom.js';
import { short, title } from './format.js';
import { session } from './session.js';
import { ROLE_WORDS, tone } from './words.js';

/** A state, in its colour and its word. */
export const pill = (state, text = title(state), its = tone(state)) =>
  h('span', { class: `pill ${its}` }, text);

export const button = (text, click, props = {}) =>
  h('button', { type: 'button', ...props, on: { click } }, text);

export const link = (href, ...text) => h('a', { href }, ...text);
export const orderLink = (id, text = h('span', { class: 'mono' }, short(id))) =>
  h('a', { class: 'id', href: `#/orders/${id}`, title: id }, text);

/** The way back up. */
export const crumbs = (href, text) =>
  h('nav', { class: 'crumbs', 'aria-label': 'Where you are' }, h('a', { href }, text));

/** The head of a page: its name, what it is about, and what can be done. */
export function head(name, about, ...actions) {
  return h('header', { class: 'page-head' },
    h('div', {}, h('h1', { tabindex: '-1' }, name), about && h('p', { class: 'about' }, about)),
    actions.length ? h('div', { class: 'actions' }, ...actions) : null);
}

export const card = (name, ...content) =>
  h('section', { class: 'card' }, name && h('h2', {}, name), ...content);

/** Names and values; what has no value is left out. */
export function facts(pairs) {
  return h('dl', { class: 'facts' }, pairs
    .filter(([, value]) => value === 0 || (value && value.length !== 0))
    .map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
}

/** Links to other pages of a list: `[address, text]`, or nothing where there is none. */
export function pager(...links) {
  const there = links.filter(Boolean);
  return there.length > 0 && h('nav', { class: 'pager', 'aria-label': 'Pages of the list' },
    there.map(([href, text]) => link(href, text)));
}

export const empty = (text, ...more) => h('div', { class: 'empty' }, h('p', {}, text), ...more);

/**
 * A table whose rows become cards on a narrow screen; without rows it is not shown. `columns` are
 * `[name, cell, class?]`.
 */
export function table(label, columns, key, its = '') {
  const heads = columns.map(([name, , its]) =>
    h('th', { scope: 'col', role: 'columnheader', class: its }, name));
  const body = h('tbody', { role: 'rowgroup' });
  const data = (item) => ([name, cell, its]) => {
    const content = cell(item);
    const isNone = content === null || content === undefined || content === false;
    const names = [its, name === 'Actions' && 'unnamed', isNone && 'none']
      .filter(Boolean).join(' ');
    return h('td', { role: 'cell', class: names || null, 'data-label': name },
      h('div', {}, content));
  };
  const row = (item) => h('tr', { role: 'row' }, columns.map(data(item)));
  const node = h('div', { class: `sheet ${its}`, hidden: true },
    h('table', { role: 'table', 'aria-label': label },
      h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, heads)), body));
  const show = (items) => {
    node.hidden = items.length === 0;
    sync(body, items, key, row);
  };
  return { node, show };
}

/** A table of items that do not change; one that is `plain` is narrow enough to stay one. */
export function sheet(label, columns, items, its = '') {
  const made = table(label, columns, (item) => items.indexOf(item), its);
  made.show(items);
  return made.node;
}

const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?/gi;

/** A value as JSON, coloured. */
export function json(value) {
  const text = JSON.stringify(value, null, 2);
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(TOKEN)) {
    parts.push(text.slice(at, found.index));
    const [all, quoted, colon, word] = found;
    const kind = colon ? 'name' : quoted ? 'text' : word ? 'word' : 'number';
    parts.push(h('span', { class: `j-${kind}` }, colon ? quoted : all), colon ?? '');
    at = found.index + all.length;
  }
  return h('pre', { class: 'code' }, h('code', {}, ...parts, text.slice(at)));
}

export function copy(text, what) {
  const node = button('Copy', async () => {
    await navigator.clipboard.writeText(text);
    tell(`${what} copied.`);
  }, { class: 'quiet small', 'aria-label': `Copy ${what}` });
  return node;
}

/** Tells what was done, at the edge of the page and to screen readers. */
export function tell(text, its = 'ok') {
  const room = document.getElementById('told');
  const node = h('p', { class: `toast ${its}` }, text);
  put(room, node);
  setTimeout(() => node.remove(), 6000);
}

/** A problem as the gateway told it. */
export function problem(error, { quiet = false } = {}) {
  if (error.status === undefined) {
    console.error(error);
    return h('div', { class: 'problem', role: 'alert' }, h('p', { class: 'what' },
      'The console failed: ', error.message));
  }
  const faults = error.errors.map((it) =>
    h('li', {}, h('code', {}, it.pointer || '/'), ' ', it.detail));
  return h('div', { class: quiet ? 'problem calm' : 'problem', role: quiet ? null : 'alert' },
    h('p', { class: 'what' }, quiet ? null : h('strong', {}, `${error.title}. `), error.message),
    faults.length > 0 && h('ul', {}, faults),
    h('p', { class: 'fine' },
      error.status ? `${error.status} ${error.code}` : error.code,
      error.page && [' · ', h('a', { href: error.page }, 'what this means')],
      error.traceId && [' · trace ', h('code', {}, error.traceId)]));
}

/** Says what is missing to somebody who may not see a page. */
export function missingRole(roles) {
  const held = session.roles;
  const role = roles.at(-1);
  return h('div', { class: 'empty' },
    h('h2', {}, `This needs the role ${roles.join(' or ')}`),
    h('p', {}, `This page ${ROLE_WORDS[role]}; whoever has the role viewer may look. `,
      'You are ', h('strong', {}, session.subject),
      held ? `, with ${held.length === 1 ? 'the role' : 'the roles'} ${held.join(', ')}.` : '.'),
    h('p', {}, 'On a local stack, ', h('code', {}, `shop token --role ${role}`),
      ' prints a token; paste it under ', link('#/sign-in', 'Sign in'),
      '. With an issuer of your own, ask who administers it.'));
}

const ICONS = {
  check: 'M3.5 8.5l3 3 6-7',
  cross: 'M4 4l8 8M12 4l-8 8',
  clock: 'M8 2.2a5.8 5.8 0 1 0 0 11.6a5.8 5.8 0 0 0 0-11.6M8 5v3.2l2 1.3',
  undo: 'M6.5 3.5L3.5 6.5l3 3M3.5 6.5h5a4 4 0 0 1 0 7h-2',
};

export const icon = (name) => s('svg', {
  viewBox: '0 0 16 16', class: 'icon', 'aria-hidden': 'true',
}, s('path', { d: ICONS[name] }));
