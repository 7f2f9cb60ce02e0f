// Which page an address shows: `#/orders/{id}?…`.

import { h, put } from './dom.js';
import { session, takeTokenFromAddress } from './session.js';
import { missingRole, problem } from './ui.js';

/** An address of the console. */
export function address(path, params = {}) {
  const given = Object.entries(params).filter(([, value]) => value);
  const text = new URLSearchParams(given).toString();
  return `#/${path}${text ? `?${text}` : ''}`;
}

export const go = (path, params) => {
  location.hash = address(path, params);
};

function parse(hash) {
  const [path, text = ''] = hash.replace(/^#\/?/, '').split('?');
  const segments = path.split('/').filter(Boolean).map(decode);
  return { segments, query: Object.fromEntries(new URLSearchParams(text)) };
}

function decode(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

function match(pattern, segments) {
  const names = pattern.split('/').filter(Boolean);
  if (names.length !== segments.length) return null;
  const params = {};
  const fits = names.every((name, at) => {
    if (!name.startsWith(':')) return name === segments[at];
    params[name.slice(1)] = segments[at];
    return true;
  });
  return fits ? params : null;
}

/** Where a caller begins: operators may see no orders. */
const home = () => (session.may('customer', 'staff', 'viewer') ? '#/orders' : '#/parked');

/**
 * Shows pages in `main`. A page is `{ title, role, open(page) }`; `role` lists who may see it, and
 * `onShow` is told which pattern was found.
 */
export function route(main, routes, onShow) {
  let leave = new AbortController();
  let before = null;

  async function show() {
    if (takeTokenFromAddress()) return;
    leave.abort();
    leave = new AbortController();
    if (parse(location.hash).segments.length === 0) history.replaceState(null, '', home());
    const { segments, query } = parse(location.hash);
    const [pattern, page, params] = find(routes, segments);
    const focused = main.contains(document.activeElement) ? document.activeElement.id : '';
    const current = { params, query, signal: leave.signal, main, show: (...it) => put(main, it) };
    document.title = `${page.title(params)} · Shop console`;
    onShow(pattern);
    main.setAttribute('aria-busy', 'true');
    try {
      if (page.role && !session.may(...page.role, 'viewer')) {
        current.show(h('h1', { tabindex: '-1' }, page.title(params)), missingRole(page.role));
      } else {
        await page.open(current);
      }
    } catch (error) {
      if (current.signal.aborted) return;
      const denied = error.status === 403 && page.role;
      current.show(h('h1', { tabindex: '-1' }, page.title(params)),
        denied ? missingRole(page.role) : problem(error));
    }
    if (current.signal.aborted) return;
    main.removeAttribute('aria-busy');
    settle(pattern === before ? focused : '', before === null);
    before = pattern;
  }

  /** Who moves by keyboard goes on where they were on the same page, or where a new one begins. */
  function settle(focused, isFirst) {
    const same = focused && document.getElementById(focused);
    if (same) same.focus();
    else if (!isFirst) main.querySelector('h1')?.focus({ preventScroll: true });
    if (!same) window.scrollTo(0, 0);
  }

  window.addEventListener('hashchange', show);
  session.addEventListener('change', show);
  return show;
}

function find(routes, segments) {
  if (!session.isSignedIn) return ['sign-in', routes.find(([name]) => name === 'sign-in')[1], {}];
  for (const [pattern, page] of routes) {
    const params = match(pattern, segments);
    if (params) return [pattern, page, params];
  }
  return ['', NOWHERE, {}];
}

const NOWHERE = {
  title: () => 'Not found',
  open: (page) => page.show(h('h1', { tabindex: '-1' }, 'There is no such page'),
    h('p', {}, h('a', { href: '#/orders' }, 'To the orders'))),
};
