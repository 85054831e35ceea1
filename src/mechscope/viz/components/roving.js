// One stop for the Tab key in a group of controls, between which the arrow keys, Home and End move.

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/**
 * @param {HTMLElement} group what holds the items
 * @param {HTMLElement[]} items focusable elements in reading order
 * @param {object} options
 * @param {number} [options.current] the item that Tab reaches first
 * @param {() => number} [options.columns] items per row, for the up and down keys; negative if rows run upwards
 * @returns {(index: number) => void} makes another item the one that Tab reaches
 */
export function rove(group, items, { current = 0, columns = () => 1 } = {}) {
  let at = -1;
  const choose = (index) => {
    if (items[at]) items[at].tabIndex = -1;
    at = Math.min(Math.max(index, 0), items.length - 1);
    if (items[at]) items[at].tabIndex = 0;
  };
  for (const item of items) item.tabIndex = -1;
  choose(current);
  const places = new Map(items.map((item, index) => [item, index]));
  group.addEventListener("focusin", ({ target }) => { if (places.has(target)) choose(places.get(target)); });
  group.addEventListener("keydown", (event) => {
    if (!places.has(event.target) || event.altKey || event.ctrlKey || event.metaKey) return;
    const [down, right] = STEPS[event.key] ?? [0, 0];
    const index = { Home: 0, End: items.length - 1 }[event.key] ?? at + right + down * columns();
    if (index === at || !items[index]) return;
    choose(index);
    items[at].focus();
    event.preventDefault();
  });
  return choose;
}

/** How many of the items lie in the first row on the screen. */
export function itemsPerRow(items) {
  const top = items[0]?.offsetTop;
  const next = items.findIndex((item) => item.offsetTop > top + 2);
  return next < 0 ? items.length : next;
}
