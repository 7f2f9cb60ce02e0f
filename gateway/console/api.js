// Calls the API with the caller's token; what it refuses is a `Problem`, told in its own words.

import { session } from './session.js';

/** A refusal, or a failure: RFC 9457 as the gateway sends it. */
export class Problem extends Error {
  constructor(status, body = {}, retryAfter = null) {
    super(body.detail ?? body.title ?? `the gateway answered ${status}`);
    this.status = status;
    this.code = body.code ?? 'unknown';
    this.title = body.title ?? 'Something went wrong';
    this.traceId = body.trace_id ?? null;
    this.errors = body.errors ?? [];
    this.page = body.type?.startsWith('/') ? body.type : null;
    this.body = body;
    this.retryAfter = retryAfter;
  }
}

/** What cannot be done, for a reason that the console knows by itself. */
export const impossible = (detail) =>
  new Problem(0, { code: 'not_possible', title: 'Not possible', detail });

const UNREACHABLE = {
  code: 'unreachable',
  title: 'No answer',
  detail: 'The gateway does not answer. It may be starting, or the network is away.',
};

/** A new trace that is recorded, whatever share of the others is: somebody looks at this one. */
function sampled() {
  const [trace, span] = [crypto.randomUUID(), crypto.randomUUID()].map((it) => it.replaceAll('-', ''));
  return `00-${trace}-${span.slice(0, 16)}-01`;
}

/** Sends a request; returns the raw answer, or throws a `Problem`. */
export async function send(method, path, { body, headers = {}, signal } = {}) {
  const sent = { accept: 'application/json', ...headers };
  if (session.token) sent.authorization = `Bearer ${session.token}`;
  if (body !== undefined) sent['content-type'] = 'application/json';
  // A request that the browser repeats by itself must not be executed twice.
  if (method === 'POST') sent['idempotency-key'] ??= crypto.randomUUID();
  if (method === 'POST') sent.traceparent = sampled();
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: 'no-store',
      credentials: 'omit',
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem(0, UNREACHABLE);
  }
  if (answer.ok) return answer;
  const problem = new Problem(
    answer.status,
    await answer.json().catch(() => ({})),
    Number(answer.headers.get('retry-after')) || null,
  );
  if (problem.status === 401) session.refuse(problem.message);
  throw problem;
}

async function call(method, path, options) {
  const answer = await send(method, path, options);
  return answer.status === 204 ? null : answer.json();
}

export const get = (path, options) => call('GET', path, options);
export const post = (path, body = {}, options = {}) => call('POST', path, { ...options, body });
export const put = (path, body, options = {}) => call('PUT', path, { ...options, body });
export const remove = (path, options) => call('DELETE', path, options);

/** A resource with its version, for what changes it only if nobody else has. */
export async function versioned(path, options) {
  const answer = await send('GET', path, options);
  return { value: await answer.json(), etag: answer.headers.get('etag') };
}

/** `/v1/orders` with the parameters that have a value. */
export function query(path, params = {}) {
  const given = Object.entries(params).filter(([, value]) => value !== '' && value != null);
  const text = new URLSearchParams(given).toString();
  return text ? `${path}?${text}` : path;
}

/** Segments of a path, each encoded. */
export const path = (...segments) => `/v1/${segments.map(encodeURIComponent).join('/')}`;

/** Items of a list from page after page, up to `most`; `isWhole` says whether that is all. */
export async function all(path, params = {}, { signal, most = 1000 } = {}) {
  const items = [];
  let cursor = null;
  do {
    const page = await get(query(path, { limit: 200, ...params, cursor }), { signal });
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor !== null && items.length < most);
  return { items, isWhole: cursor === null };
}
