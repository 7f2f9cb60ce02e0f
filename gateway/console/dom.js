// Makes and updates elements; no text ever becomes markup.

const SVG = 'http://www.w3.org/2000/svg';

/** An HTML element: `h('a', { href: '#/orders', on: { click } }, 'Orders')`. */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An SVG element. */
export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) {
        node.addEventListener(event, listener);
      }
    } else if (name === 'vars') {
      // The policy forbids style attributes; properties set by script are allowed.
      for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
    } else if (name === 'checked') {
      node.checked = value;
    } else if (name !== 'value') {
      node.setAttribute(name, value === true ? '' : String(value));
    }
  }
  node.append(...flat(children));
  // A select knows its value only once it has its options.
  if (props.value !== undefined) node.value = props.value;
  return node;
}

function flat(children) {
  return children.flat(Infinity).filter((it) => it !== null && it !== undefined && it !== false);
}

/** Replaces what is in `node`. */
export function put(node, ...children) {
  node.replaceChildren(...flat(children));
  return node;
}

/** Makes what is in `node` anew if `data` has changed: else focus would be lost at each refresh. */
export function draw(node, data, make) {
  const seal = JSON.stringify(data) ?? '';
  if (node.seal === seal) return;
  node.seal = seal;
  put(node, make());
}

/**
 * Brings the children of `parent` to `items`: what did not change stays the very same node, so that
 * focus, selection and open details survive a refresh.
 */
export function sync(parent, items, key, make) {
  const before = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  const kept = [];
  const nodes = items.map((item) => {
    const name = String(key(item));
    const seal = JSON.stringify(item);
    const old = before.get(name);
    if (old && old.seal === seal) return old;
    const node = make(item);
    node.dataset.key = name;
    node.seal = seal;
    if (old) kept.push(keep(old, node));
    return node;
  });
  const wanted = new Set(nodes);
  for (const node of [...parent.children]) if (!wanted.has(node)) node.remove();
  nodes.forEach((node, at) => {
    if (parent.children[at] !== node) parent.insertBefore(node, parent.children[at] ?? null);
  });
  for (const restore of kept) restore();
}

/** Carries open details over to the node in the place of `old`; returns what restores focus. */
function keep(old, node) {
  const details = [...old.querySelectorAll('details')];
  const fresh = [...node.querySelectorAll('details')];
  details.forEach((it, at) => {
    if (fresh[at]) fresh[at].open = it.open;
  });
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const stops = 'a[href], button, summary, input, select';
  const at = focused ? [...old.querySelectorAll(stops)].indexOf(focused) : -1;
  return () => {
    if (at >= 0) node.querySelectorAll(stops)[at]?.focus();
  };
}
