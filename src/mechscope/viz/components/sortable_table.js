// Let the reader sort a table by any of its columns: each heading becomes a button.

/**
 * @param {HTMLTableElement} table with one row of headings; a cell's `data-value` sorts instead of its text
 * @param {{column: number, direction: number}} [sorting] how to sort it now; direction 1 is upwards, -1 downwards
 */
export function makeSortable(table, sorting) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const original = [...body.rows];
  const sort = (column, direction) => {
    const keys = new Map(original.map((row) => [row, keyOf(row.cells[column])]));
    const numbers = [...keys.values()].every((key) => key === "" || typeof key === "number");
    const compare = (a, b) => {
      const [one, other] = [keys.get(a), keys.get(b)];
      // Empty cells stay at the end.
      if (one === "" || other === "") return (one === "") - (other === "");
      return direction * (numbers ? one - other : String(one).localeCompare(String(other), "en", { numeric: true }));
    };
    body.append(...[...original].sort(compare));
    headings.forEach((heading, index) => {
      if (index === column) heading.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      else heading.removeAttribute("aria-sort");
    });
    table.sorting = { column, direction };
  };
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "ms-sort";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const before = table.sorting;
      // Numbers start with the largest, words with A.
      const first = original.some((row) => typeof keyOf(row.cells[column]) === "number") ? -1 : 1;
      sort(column, before?.column === column ? -before.direction : first);
    });
  });
  if (sorting) sort(sorting.column, sorting.direction);
}

/** A number if the cell starts with one (as in "0.97 (0.95–0.99)"), "" if it is empty or a dash, or else its text. */
function keyOf(cell) {
  if (!cell) return "";
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  const text = cell.textContent.trim();
  if (text === "" || text === "–") return "";
  const number = /^[−-]?\d[\d,]*\.?\d*(?:e[+−-]?\d+)?(?=\s*(?:$|[(%]))/.exec(text);
  return number ? Number(number[0].replaceAll(",", "").replaceAll("−", "-")) : text;
}
