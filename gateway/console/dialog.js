// Asks before something is done, and shows in the same place what the API says to it.

import { h, put } from './dom.js';
import { problem } from './ui.js';

let names = 0;

/** A field of a dialog: `{ name, label, kind, value, required, hint, options, max }`. */
function field({
  name, label, kind = 'text', options, value = options?.[0][0] ?? '', hint, max, ...props
}) {
  const id = `field-${(names += 1)}`;
  const shared = { id, name, value, 'aria-describedby': hint ? `${id}-hint` : null, ...props };
  const controls = {
    select: () => h('select', shared, options.map(([key, text]) =>
      h('option', { value: key }, text))),
    textarea: () => h('textarea', { rows: 4, maxlength: max, spellcheck: 'false', ...shared }),
  };
  const input = controls[kind]?.() ?? h('input', { type: kind, maxlength: max, ...shared });
  const box = kind === 'checkbox';
  return h('div', { class: box ? 'field box' : 'field' },
    box ? [input, h('label', { for: id }, label)] : [h('label', { for: id }, label), input],
    hint && h('p', { class: 'hint', id: `${id}-hint` }, hint));
}

export { field };

/** The field for why something is done, which goes into the audit. */
export const REASON = {
  name: 'reason',
  label: 'Reason',
  required: true,
  max: 200,
  hint: 'It is kept in the audit with your name.',
};

/**
 * Asks; `run` gets the values and does it. A refusal is shown in the dialog, which stays open.
 * Resolves to what `run` returned, or to null if the person thought better of it.
 */
export function ask({ name, about, fields = [], verb, danger, isNotice, run, setUp }) {
  const { node, form, said, go, no } = build({ name, about, fields, verb, danger, isNotice });
  document.body.append(node);
  setUp?.(form);
  return new Promise((resolve) => {
    let result = null;
    node.addEventListener('close', () => {
      node.remove();
      resolve(result);
    });
    no.addEventListener('click', () => node.close());
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      go.disabled = true;
      put(said);
      try {
        result = (await run(valuesOf(form))) ?? true;
        node.close();
      } catch (error) {
        put(said, problem(error));
      } finally {
        go.disabled = false;
      }
    });
    node.showModal();
  });
}

function build({ name, about, fields, verb, danger, isNotice }) {
  const said = h('div', {});
  const go = h('button', { type: 'submit', class: danger ? 'danger' : 'primary' }, verb);
  const no = h('button', { type: 'button' }, 'Back');
  const id = `dialog-${(names += 1)}`;
  const form = h('form', {},
    h('h2', { id }, name),
    [about].flat().map((it) => (typeof it === 'string' ? h('p', {}, it) : it)),
    fields.map((it) => (it instanceof Node ? it : field(it))),
    said,
    h('div', { class: 'buttons' }, !isNotice && no, go));
  const node = h('dialog', { 'aria-labelledby': id }, form);
  return { node, form, said, go, no };
}

/** The values of a form by name, trimmed; a box is whether it is ticked. */
export function valuesOf(form) {
  const named = [...form.elements].filter((it) => it.name);
  return Object.fromEntries(named
    .filter((it) => it.type !== 'radio' || it.checked)
    .map((it) => [it.name, it.type === 'checkbox' ? it.checked : it.value.trim()]));
}
