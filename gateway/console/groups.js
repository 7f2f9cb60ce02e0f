// Groups items: `Map.groupBy`, which browsers of 2023 and Node.js 20 do not have.

/** The items by what `key` says of each, in the order in which they came. */
export function groupBy(items, key) {
  const groups = new Map();
  for (const item of items) {
    const name = key(item);
    const group = groups.get(name);
    if (group) group.push(item);
    else groups.set(name, [item]);
  }
  return groups;
}
