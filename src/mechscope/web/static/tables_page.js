// Let the reader sort the tables of a page, and scroll those that are wider than the page.

import { makeSortable } from "./sortable_table.js";

document.querySelectorAll("table[data-sortable], .tables table").forEach((table, index) => {
  makeSortable(table);
  const box = document.createElement("div");
  box.className = "ms-scroll ms-wide";
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", `Table ${index + 1}`);
  table.replaceWith(box);
  box.append(table);
});
