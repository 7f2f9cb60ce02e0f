// Signing in and out: by a link, by a token, at an issuer; and what is said to whom lacks a role.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, afterEach, before, test } from 'node:test';

import {
  base, launch, newTab, press, settled, signedIn, text, token, unsigned,
} from './browser.mjs';

let browser;
/** The tabs of one test: none may have a fault at its end. */
let tabs = [];

before(async () => { browser = await launch(); });
after(() => browser?.close());

afterEach(async () => {
  const faults = tabs.flatMap((tab) => tab.faults);
  await Promise.all(tabs.map((tab) => tab.close()));
  tabs = [];
  assert.deepEqual(faults, [], 'no error, exception or violation of the policy');
});

async function enter(options) {
  const tab = await signedIn(browser, options);
  tabs.push(tab);
  return tab;
}

test('a link with a token signs in, and the token leaves the address', async () => {
  const { page } = await enter();
  await settled(page, '#/orders');
  assert.equal(page.url(), `${base}/console#/orders`);
  assert.match(await text(page, '#caller'), /staff/);
  const session = await page.createCDPSession();
  const { entries } = await session.send('Page.getNavigationHistory');
  assert(!entries.some((it) => it.url.includes('token=')), 'nor is it in the history');
});

test('who lacks a role is told which, and nothing is asked in their name', async () => {
  const claims = { sub: 'customer-0001', roles: ['customer'] };
  const { page } = await enter({ token: unsigned(claims), mayFail: [/^\/v1\//] });
  const asked = [];
  page.on('request', (it) => asked.push(new URL(it.url()).pathname));
  await page.evaluate(() => { location.hash = '#/parked'; });
  await page.waitForFunction(() => document.querySelector('.empty h2'));
  assert.match(await text(page, 'main'), /needs the role operator/);
  assert.match(await text(page, 'main'), /customer-0001, with the role customer/);
  assert(!asked.includes('/v1/parked'));
});

test('a token that is refused is told, and the page goes on with another', async () => {
  const claims = { sub: 'nobody', roles: ['staff'] };
  const { page } = await enter({ token: unsigned(claims), mayFail: [/^\/v1\//] });
  await page.waitForSelector('.notice');
  await page.type('.notice [name="token"]', `Bearer ${token}`);
  await press(page, 'Use this token');
  await page.waitForFunction(() => !document.querySelector('.notice'));
  await page.waitForFunction(() => document.querySelector('#caller .who').textContent !== 'nobody');
  await page.waitForSelector('tbody tr');
});

test('who signs out leaves nothing behind', async () => {
  const { page } = await enter();
  await settled(page, '#/orders');
  await press(page, 'Sign out');
  await page.waitForSelector('.sign-in');
  assert.equal(await page.evaluate(() => JSON.stringify([sessionStorage.length, document.cookie])),
    '[0,""]');
  assert.equal(await page.$$eval('#menu a', (it) => it.length), 0);
});

test('without a token the page says how to get one', async () => {
  const tab = await newTab(browser);
  tabs.push(tab);
  await tab.page.goto(`${base}/console`);
  await tab.page.waitForSelector('.sign-in');
  assert.match(await text(tab.page, 'main'), /shop token --role operator/);
});

test('who may see no orders begins where they may', async () => {
  const claims = { sub: 'someone', roles: ['operator'] };
  const { page } = await enter({ token: unsigned(claims), mayFail: [/^\/v1\//] });
  await page.waitForFunction(() => location.hash === '#/parked');
  await page.evaluate(() => { location.hash = '#/orders'; });
  await page.waitForFunction(() => document.querySelector('.empty h2'));
  assert.match(await text(page, 'main'), /needs the role customer or staff/);
});

/** An issuer, answered in its stead; `state` is what it sends back where it is not what it got. */
async function issuer(page, state) {
  const asked = {};
  const oidc = { issuer: 'https://sso.example', client_id: 'console', scope: 'openid',
    authorization_endpoint: `${base}/sso/authorize`, token_endpoint: `${base}/sso/token` };
  await page.setRequestInterception(true);
  page.on('request', (request) => {
    const { pathname, searchParams } = new URL(request.url());
    const json = (body) => request.respond({
      contentType: 'application/json', body: JSON.stringify(body),
    });
    if (pathname === '/console/settings.json') return json({ oidc, jaeger_url: null });
    if (pathname === '/sso/authorize') {
      asked.authorize = Object.fromEntries(searchParams);
      const back = new URLSearchParams({
        code: 'the-code', state: state ?? searchParams.get('state'),
      });
      const location = `${searchParams.get('redirect_uri')}?${back}`;
      return request.respond({ status: 302, headers: { location } });
    }
    if (pathname !== '/sso/token') return request.continue();
    asked.token = Object.fromEntries(new URLSearchParams(request.postData()));
    return json({ access_token: token });
  });
  return asked;
}

test('at an issuer one signs in by a code that only this tab can use, and stays where one was',
  async () => {
    const tab = await newTab(browser);
    tabs.push(tab);
    const { page } = tab;
    const asked = await issuer(page);
    await page.goto(`${base}/console#/sagas?state=started`);
    await press(page, 'Sign in at sso.example');
    await page.waitForSelector('#caller .who');
    await settled(page, '#/sagas?state=started');
    assert.equal(page.url(), `${base}/console#/sagas?state=started`, 'no code in the address');
    const { authorize, token: told } = asked;
    assert.equal(authorize.code_challenge_method, 'S256');
    assert.equal(createHash('sha256').update(told.code_verifier).digest('base64url'),
      authorize.code_challenge);
    assert.deepEqual([told.code, told.client_id, told.redirect_uri],
      ['the-code', 'console', `${base}/console`]);
  });

test('a code that was not asked for here is refused', async () => {
  const tab = await newTab(browser);
  tabs.push(tab);
  const asked = await issuer(tab.page, 'theirs');
  await tab.page.goto(`${base}/console?code=stolen&state=theirs`);
  await tab.page.waitForSelector('.toast.bad');
  assert.equal(tab.page.url().split('#')[0], `${base}/console`, 'no code in the address');
  await press(tab.page, 'Sign in at sso.example');
  await tab.page.waitForFunction(() => location.pathname === '/console' && !location.search
    && document.querySelector('.toast.bad'));
  assert.ok(asked.authorize, 'it was begun here, and ended with the state of another');
  assert.equal(asked.token, undefined, 'no code was sent on');
});
