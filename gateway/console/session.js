// Who is signed in: the token, where it is kept, how it comes and goes.

const KEY = 'shop.token';
const OPEN = 'shop.open';
const ROLES = ['customer', 'staff', 'operator', 'viewer'];

/** A store that also works where the browser refuses one: then for as long as the page is open. */
const memory = new Map();
export const store = {
  get(key) {
    try {
      return sessionStorage.getItem(key);
    } catch {
      return memory.get(key) ?? null;
    }
  },
  set(key, value) {
    try {
      if (value === null) sessionStorage.removeItem(key);
      else sessionStorage.setItem(key, value);
    } catch {
      memory.set(key, value);
    }
  },
};

class Session extends EventTarget {
  #alarm = null;

  get token() {
    return store.get(KEY);
  }

  /** Whether somebody may call at all: with a token, or where identity is turned off. */
  get isSignedIn() {
    return this.token !== null || store.get(OPEN) !== null;
  }

  /** What the token says. The services verify it; here it is only shown. */
  get claims() {
    return claimsOf(this.token);
  }

  get subject() {
    return this.claims?.sub ?? 'anonymous';
  }

  get endsAt() {
    return this.claims?.exp ? this.claims.exp * 1000 : null;
  }

  /** The roles, or null where the token has them under a name that only the services know. */
  get roles() {
    const { claims } = this;
    if (!claims || !Array.isArray(claims.roles)) return null;
    const known = claims.roles.filter((role) => ROLES.includes(role));
    return known.length ? known : ['customer'];
  }

  /** Whether one of `roles` is held; true where that is not known: the services decide. */
  may(...roles) {
    const held = this.roles;
    return held === null || roles.some((role) => held.includes(role));
  }

  signIn(token) {
    store.set(KEY, token.trim());
    store.set(OPEN, null);
    this.watch();
    this.dispatchEvent(new Event('change'));
  }

  /** Goes on without a token, for a shop whose identity is turned off. */
  goOpen() {
    store.set(OPEN, '1');
    this.dispatchEvent(new Event('change'));
  }

  signOut() {
    store.set(KEY, null);
    store.set(OPEN, null);
    clearTimeout(this.#alarm);
    this.dispatchEvent(new Event('change'));
  }

  /** Says that the token is of no use any more. */
  refuse(detail) {
    this.dispatchEvent(new CustomEvent('refused', { detail }));
  }

  /** Says so by itself when the token ends while the page is open. */
  watch() {
    clearTimeout(this.#alarm);
    const left = (this.endsAt ?? Infinity) - Date.now();
    // A timer takes no more than 2^31 ms, and a token that is over is told by the first call.
    if (left > 0 && left < 2 ** 31) {
      this.#alarm = setTimeout(() => this.refuse('Your token has ended.'), left);
    }
  }
}

export const session = new Session();

export function claimsOf(token) {
  try {
    const part = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(part), (it) => it.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}

/** Takes a token out of the address, where it must not stay: it would be in the history. */
export function takeTokenFromAddress() {
  if (!location.hash.startsWith('#token=')) return false;
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  history.replaceState(null, '', `${location.pathname}#/`);
  if (given) session.signIn(given);
  return true;
}
