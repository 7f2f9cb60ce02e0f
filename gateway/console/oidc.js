// Signing in at an OpenID Connect issuer: the code flow with PKCE, without a library.

import { session, store } from './session.js';

const PENDING = 'shop.oidc';

let asked = null;

/** What the gateway says about the console: the issuer, if there is one, and where traces are. */
export function settings() {
  asked ??= fetch('/console/settings.json', { credentials: 'omit' })
    .then((answer) => (answer.ok ? answer.json() : {}))
    .catch(() => ({}))
    .then(({ oidc = null, jaeger_url = null }) => ({ oidc, jaegerUrl: jaeger_url }));
  return asked;
}

/** The address of a trace in Jaeger, or null where there is none. */
export function traceAddress(jaegerUrl, traceId, span) {
  if (!jaegerUrl || !traceId) return null;
  const base = `${jaegerUrl.replace(/\/$/, '')}/trace/${traceId}`;
  return span ? `${base}?uiFind=${span}` : base;
}

const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');

const secret = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

const redirect = () => `${location.origin}/console`;

/** Leaves for the issuer; it sends the person back to the page where they were. */
export async function begin(oidc) {
  const [verifier, state] = [secret(), secret()];
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier));
  store.set(PENDING, JSON.stringify({ verifier, state, hash: location.hash }));
  const address = new URL(oidc.authorization_endpoint);
  const params = {
    response_type: 'code',
    client_id: oidc.client_id,
    redirect_uri: redirect(),
    scope: oidc.scope,
    state,
    code_challenge: base64url(new Uint8Array(digest)),
    code_challenge_method: 'S256',
  };
  for (const [name, value] of Object.entries(params)) address.searchParams.set(name, value);
  location.assign(address);
}

/** Ends what `begin` began, if the issuer has just sent the person back; throws if it refused. */
export async function finish() {
  const answer = new URLSearchParams(location.search);
  if (!answer.has('code') && !answer.has('error')) return;
  const pending = JSON.parse(store.get(PENDING) ?? 'null');
  store.set(PENDING, null);
  // The code must stay neither in the address nor in the history.
  history.replaceState(null, '', location.pathname + (pending?.hash ?? ''));
  if (!pending || answer.get('state') !== pending.state) {
    throw new Error('This sign-in was not begun here. Please begin again.');
  }
  if (answer.has('error')) {
    throw new Error(answer.get('error_description') ?? answer.get('error'));
  }
  const { oidc } = await settings();
  if (!oidc) throw new Error('No issuer is set for the console.');
  session.signIn(await exchange(oidc, answer.get('code'), pending.verifier));
}

async function exchange(oidc, code, verifier) {
  const answer = await fetch(oidc.token_endpoint, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      client_id: oidc.client_id,
      redirect_uri: redirect(),
    }),
  });
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok || !told.access_token) {
    throw new Error(told.error_description ?? told.error ?? 'The issuer gave no token.');
  }
  return told.access_token;
}
