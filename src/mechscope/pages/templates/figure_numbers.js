// Fills the table of numbers under a figure when it is opened: what the figure draws, series by series.
(() => {
  const most = 400;
  const { values } = window.mechscopePlots;

  const plain = (words) => {
    const box = new DOMParser().parseFromString(String(words ?? "").replaceAll(/<br\s*\/?>/g, " "), "text/html");
    return box.body.textContent.trim();
  };
  const shown = (value) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    if (typeof value !== "number") return plain(value);
    return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
  };

  function axisName(layout, id, letter, trace) {
    const axis = layout[`${letter}axis${String(trace[`${letter}axis`] ?? letter).slice(1)}`];
    return plain(axis?.title?.text) || plain(layout[`${letter}axis`]?.title?.text) || id;
  }

  function* rows({ data, layout }) {
    for (const [index, trace] of data.entries()) {
      if (trace.visible === false) continue;
      const x = values(trace.x), y = values(trace.y), z = values(trace.z);
      // Panels have their titles elsewhere.
      const name = plain(trace.name) || (data.length > 1 ? `part ${index + 1}` : "");
      const [across, up] = [axisName(layout, "x", "x", trace), axisName(layout, "y", "y", trace)];
      if (z) {
        for (let i = 0; i < z.length; i++)
          for (let j = 0; j < z[i].length; j++)
            yield { name, [up]: y?.[i] ?? i, [across]: x?.[j] ?? j, value: z[i][j] };
      } else for (let i = 0; i < (x ?? y ?? []).length; i++) yield { name, [across]: x?.[i] ?? i, [up]: y?.[i] ?? i };
    }
  }

  function table(figure) {
    const found = [];
    let count = 0;
    for (const row of rows(figure)) if (++count <= most) found.push(row);
    const named = found.some((row) => row.name);
    const columns = [...new Set(found.flatMap(Object.keys))].filter((column) => column !== "name" || named);
    const box = document.createElement("div");
    box.className = "numbers-table";
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", "Numbers of this figure");
    const element = box.appendChild(document.createElement("table"));
    const head = element.createTHead().insertRow();
    for (const column of columns) {
      const cell = head.appendChild(document.createElement("th"));
      cell.scope = "col";
      cell.textContent = column === "name" ? "series" : column;
    }
    const body = element.createTBody();
    for (const row of found) {
      const line = body.insertRow();
      for (const column of columns) line.insertCell().textContent = column in row ? shown(row[column]) : "";
    }
    if (count > most) {
      const note = box.appendChild(document.createElement("p"));
      note.textContent = `These are the first ${most} of ${count} rows.`;
    }
    return box;
  }

  for (const details of document.querySelectorAll("details.figure-numbers")) {
    details.addEventListener("toggle", () => {
      if (!details.open || details.querySelector(".numbers-table")) return;
      const figure = JSON.parse(details.parentElement.querySelector(".plot-data").textContent);
      details.append(table(figure));
    });
  }
})();
