// Signing in: at the issuer, or with a token of the local stack.

import { button } from './ui.js';
import { h, put } from './dom.js';
import { begin, settings } from './oidc.js';
import { claimsOf, session } from './session.js';

export const signIn = {
  title: () => 'Sign in',
  async open(page) {
    page.show(h('div', { class: 'sign-in' },
      h('h1', { tabindex: '-1' }, 'Sign in'),
      h('p', { class: 'about' },
        'The console calls the API with your token. It is kept in this tab only, and is gone when ',
        'the tab is closed.'),
      h('div', { id: 'issuer' }), tokenForm(), local(),
      h('p', { class: 'fine' }, 'Is identity turned off in this shop (',
        h('code', {}, 'SHOP_JWKS=off'), ')? ',
        button('Go on without a token', () => leave(() => session.goOpen()), {
          class: 'quiet small',
        }))));
    const { oidc } = await settings();
    if (page.signal.aborted || !oidc) return;
    put(document.getElementById('issuer'), h('p', {},
      button(`Sign in at ${host(oidc.issuer)}`, () => begin(oidc), { class: 'primary large' })));
  },
};

/** Goes to the first page where the address is still that of this page. */
function leave(enter) {
  if (location.hash === '#/sign-in') history.replaceState(null, '', '#/');
  enter();
}

let forms = 0;

/** A form that takes a token; also used by the notice that a token has ended. */
export function tokenForm(then = () => {}) {
  const id = `token-${(forms += 1)}`;
  const said = h('p', { class: 'hint', role: 'alert', id: `${id}-said` });
  const input = h('input', {
    id, name: 'token', type: 'password', autocomplete: 'off', spellcheck: 'false',
    required: true, 'aria-describedby': `${id}-said`,
  });
  const submit = (event) => {
    event.preventDefault();
    // People paste the whole header, or the whole link, as often as the token.
    const token = input.value.trim().replace(/^Bearer\s+/i, '').replace(/^.*#token=/, '');
    const claims = claimsOf(token);
    if (!claims) return put(said, 'This is no token: a JWT has three parts, with dots between.');
    if (claims.exp && claims.exp * 1000 < Date.now()) return put(said, 'This token has ended.');
    leave(() => session.signIn(token));
    return then();
  };
  return h('form', { class: 'token-form', on: { submit } },
    h('div', { class: 'field' }, h('label', { for: id }, 'Token'), input, said),
    h('button', { type: 'submit', class: 'primary' }, 'Use this token'));
}

function local() {
  const row = (command, what) =>
    h('div', {}, h('dt', {}, h('code', {}, command)), h('dd', {}, what));
  return h('section', { class: 'card' },
    h('h2', {}, 'A token of a local stack'),
    h('dl', { class: 'commands' },
      row('shop token --role operator --role staff', 'everything in this console'),
      row('shop token --role operator', 'what has stopped: parked keys, consumers, lanes, audit'),
      row('shop token --role staff', 'orders of every customer, sagas, webhooks, notifications'),
      row('shop token --role viewer', 'look at all of it, change nothing'),
      row('shop token --sub customer-0001', 'that customer’s own orders')),
    h('p', { class: 'hint' }, 'Each prints a token for an hour; ', h('code', {}, '--ttl 8h'),
      ' for longer. ', h('code', {}, 'make demo'), ' prints a link that signs you in.'));
}

const host = (issuer) => {
  try {
    return new URL(issuer).host;
  } catch {
    return issuer;
  }
};
