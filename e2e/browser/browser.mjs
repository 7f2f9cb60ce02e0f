// The browser of the tests: pages that note every fault, and how to wait for what they show.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import axe from 'axe-core';
import puppeteer from 'puppeteer-core';

const { CONSOLE_URL, CONSOLE_TOKEN, CHROMIUM = '/usr/bin/chromium', SHOTS_DIR } = process.env;
assert(CONSOLE_URL, 'CONSOLE_URL has to be the address of a gateway');
assert(CONSOLE_TOKEN, 'CONSOLE_TOKEN has to be a token of an operator who is staff, too');

export const base = CONSOLE_URL.replace(/\/$/, '');
export const token = CONSOLE_TOKEN;

/** The longest wait for what a page is to show: orders end within a second or so. */
export const PATIENCE_MS = 20_000;

export const WIDE = { width: 1280, height: 900 };
export const NARROW = { width: 360, height: 780 };

/** What may be a problem while all is well: nobody has to run Jaeger or Prometheus. */
const MAY_FAIL = [/\/v1\/orders\/[^/]+\/trace$/, /\/v1\/pipeline$/];

export const launch = () => puppeteer.launch({
  executablePath: CHROMIUM,
  headless: true,
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--force-color-profile=srgb'],
});

/**
 * A tab of its own session. `tab.faults` collects errors of the console, exceptions and violations
 * of the policy; `mayFail` excuses the answers that the test provokes. `tab.waiting` has the
 * requests that have no answer yet.
 */
export async function newTab(browser, { size = WIDE, scheme = 'light', mayFail = [] } = {}) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await page.setViewport(size);
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  const excused = [...MAY_FAIL, ...mayFail];
  const faults = [];
  page.on('console', (message) => {
    if (message.type() !== 'error') return;
    const { url = '' } = message.location();
    const path = url.startsWith(base) ? new URL(url).pathname : url;
    const isAnswer = message.text().startsWith('Failed to load resource');
    if (isAnswer && excused.some((it) => it.test(path))) return;
    faults.push(`console: ${message.text()} ${url}`);
  });
  const waiting = new Set();
  page.on('request', (it) => waiting.add(it.url()));
  for (const end of ['requestfinished', 'requestfailed']) {
    page.on(end, (it) => waiting.delete(it.url()));
  }
  page.on('pageerror', (error) => faults.push(`exception: ${error.message}`));
  await page.exposeFunction('noteViolation', (text) => faults.push(`policy: ${text}`));
  await page.evaluateOnNewDocument(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      window.noteViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`);
    });
  });
  return { page, faults, waiting, close: () => context.close() };
}

/** A tab that signed in by the link that `shop demo` prints. */
export async function signedIn(browser, options = {}) {
  const tab = await newTab(browser, options);
  await tab.page.goto(`${base}/console#token=${options.token ?? token}`);
  try {
    await tab.page.waitForSelector('#caller .who');
  } catch (error) {
    const seen = `no answer from ${[...tab.waiting]}; ${tab.faults}`;
    throw new Error(`nobody is signed in; ${seen}`, { cause: error });
  }
  return tab;
}

/** Goes to a page of the console as a link would: without loading it anew. */
export async function visit(page, hash) {
  await page.evaluate((to) => { location.hash = to; }, hash);
  await settled(page, hash);
}

/** Waits until the page of this address stands and has got its answers; a stream stays open. */
export async function settled(page, hash) {
  await page.waitForFunction((to) => location.hash === to
    && document.querySelector('main:not([aria-busy]) h1'), {}, hash);
  await page.waitForNetworkIdle({ idleTime: 250, concurrency: 1, timeout: PATIENCE_MS });
}

export const text = (page, selector) => page.$eval(selector, (it) => it.textContent.trim());

/** Waits until the text of `selector` is `wanted`; says what it was instead. */
export async function until(page, selector, wanted) {
  try {
    await page.waitForFunction(
      (it, words) => document.querySelector(it)?.textContent.trim() === words, {}, selector, wanted,
    );
  } catch (error) {
    const found = await text(page, selector).catch(() => 'nothing');
    throw new Error(`${selector} is to be “${wanted}”, and is “${found}”`, { cause: error });
  }
}

/** A button by its words, in a dialog if one is open. */
export async function press(page, words) {
  const handle = await page.waitForFunction((name) => {
    const room = document.querySelector('dialog[open]') ?? document;
    return [...room.querySelectorAll('button')]
      .find((it) => it.textContent.trim() === name && !it.disabled);
  }, {}, words);
  await handle.click();
}

/** What axe-core finds wrong with the page as it stands. */
export async function violations(page) {
  await page.evaluate(axe.source);
  const found = await page.evaluate(() => window.axe.run(document, {
    resultTypes: ['violations'],
  }));
  return found.violations.map((it) =>
    `${it.id}: ${it.help}\n${it.nodes.slice(0, 3).map((node) =>
      `    ${node.target}: ${node.failureSummary}`).join('\n')}`);
}

/** What is wider than its room: the page itself, or a table that would have to be scrolled. */
export const tooWide = (page) => page.evaluate(() => {
  const beyond = document.documentElement.scrollWidth - document.body.clientWidth;
  const sheets = [...document.querySelectorAll('.sheet')]
    .filter((it) => it.scrollWidth > it.clientWidth + 1)
    .map((it) => `${it.textContent.slice(0, 60)}: ${it.scrollWidth} in ${it.clientWidth}`);
  return beyond > 0 ? [`the page by ${beyond}`, ...sheets] : sheets;
});

/** A picture of the whole page, or of what the window shows of it. */
export async function shoot(page, name, fullPage = true) {
  if (!SHOTS_DIR) return;
  await mkdir(SHOTS_DIR, { recursive: true });
  await page.screenshot({ path: join(SHOTS_DIR, `${name}.png`), fullPage });
}

/** Calls the API as the console's token may. */
export async function api(method, path, body) {
  const answer = await fetch(base + path, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const told = await answer.json();
  assert(answer.ok, `${method} ${path}: ${answer.status} ${JSON.stringify(told)}`);
  return told;
}

/** A token that nobody signed: the console only reads it, and the gateway refuses it. */
export function unsigned(claims) {
  const part = (it) => Buffer.from(JSON.stringify(it)).toString('base64url');
  return `${part({ alg: 'none' })}.${part(claims)}.none`;
}
