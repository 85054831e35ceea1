// The top tokens of each column (a position, a neuron, a feature) as a table: one row per rank, coloured by value.

import { asCss, isDark, scaleFor, textOn } from "./colours.js";
import { rove } from "./roving.js";
import { choice, formatted, visible } from "./tokens.js";

/**
 * @param {HTMLElement} element what to fill
 * @param {object} props
 * @param {object[]} props.groups tables to choose from, such as one per layer
 * @param {string} props.groups[].name what the menu calls the table
 * @param {object[]} props.groups[].columns what the table has columns for: positions, neurons, features
 * @param {string} props.groups[].columns[].name the heading of the column
 * @param {{token: string, value: number}[]} props.groups[].columns[].top the tokens, the highest first
 * @param {string} props.caption what the table shows
 * @param {string} [props.unit] of the values
 * @param {number} [props.minimum] the value with the palest colour, or the strongest negative one
 * @param {number} [props.maximum] the value with the strongest colour
 * @param {string} [props.positive] "#rrggbb" of the largest values
 * @param {string} [props.negative] "#rrggbb" of the most negative values
 * @param {number} [props.group] the table that is shown first
 * @param {[number, number] | null} [props.selected] the column and the rank of the selected cell
 * @param {(column: number, rank: number) => void} [props.onSelect] called when the reader selects a cell
 * @param {(group: number) => void} [props.onShow] called when the reader chooses another table
 * @returns {{show: (group: number) => void, select: (cell: [number, number] | null) => void}}
 */
export function renderTopTokens(element, props) {
  const { groups, caption, unit = "", onSelect, onShow } = props;
  let group = props.group ?? 0;
  let selected = props.selected ?? null;
  let cells = [];
  const frame = document.createElement("div");
  frame.className = "ms-scroll";
  frame.tabIndex = 0;
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", caption);
  const select = (cell) => {
    selected = cell;
    for (const { box, column, rank } of cells) {
      box.setAttribute("aria-pressed", String(cell !== null && cell[0] === column && cell[1] === rank));
    }
  };
  const show = (index) => {
    group = index;
    const { columns } = groups[group];
    const scale = scaleFor(columns.flatMap(({ top }) => top.map(({ value }) => value)), isDark(element), props);
    const table = document.createElement("table");
    table.className = "ms-top";
    table.createCaption().textContent = unit ? `${caption} (${unit})` : caption;
    const heading = table.createTHead().insertRow();
    heading.append(header("rank", "col"), ...columns.map(({ name }) => header(visible(name), "col")));
    const body = table.createTBody();
    cells = [];
    const ranks = Math.max(0, ...columns.map(({ top }) => top.length));
    for (let rank = 0; rank < ranks; rank++) {
      const line = body.insertRow();
      line.append(header(String(rank + 1), "row"));
      columns.forEach(({ name, top }, column) => {
        const place = line.insertCell();
        if (!top[rank]) return;
        const { token, value } = top[rank];
        const box = document.createElement("button");
        box.type = "button";
        box.className = "ms-token";
        box.dir = "auto";
        box.textContent = visible(token);
        box.title = `${visible(name)}, rank ${rank + 1}: ${JSON.stringify(token)}, ${formatted(value)} ${unit}`.trim();
        box.setAttribute("aria-label", box.title);
        const colour = scale.colour(value);
        box.style.background = asCss(colour);
        box.style.color = textOn(colour);
        box.addEventListener("click", () => {
          select([column, rank]);
          onSelect?.(column, rank);
        });
        const number = document.createElement("small");
        number.textContent = formatted(value);
        place.append(box, number);
        cells.push({ box, column, rank });
      });
    }
    rove(table, cells.map(({ box }) => box), { columns: () => columns.length });
    select(selected);
    frame.replaceChildren(table);
  };
  show(group);
  const menu = groups.length > 1 ? [choice("Show", groups.map(({ name }) => name), group, (index) => {
    select(null);
    show(index);
    onShow?.(index);
  })] : [];
  element.replaceChildren(...menu, frame);
  return {
    select,
    show(index) {
      if (menu[0]) menu[0].querySelector("select").value = String(index);
      show(index);
    },
  };
}

function header(text, scope) {
  const made = document.createElement("th");
  made.scope = scope;
  made.textContent = text;
  return made;
}

/** As a widget (see widget.js). */
export function mountTopTokens(element, props, { selected_cell, selected_group }, tell) {
  const { select, show } = renderTopTokens(element, {
    ...props,
    selected: selected_cell,
    group: selected_group,
    onShow: (group) => tell("selected_group", group),
    onSelect: (column, rank) => tell("selected_cell", [column, rank]),
  });
  return { selected_cell: select, selected_group: show };
}
