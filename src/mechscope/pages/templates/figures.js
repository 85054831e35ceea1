// Draws the page's figures and redraws them when the theme changes. Needs Plotly, loads nothing.
(() => {
  const templates = JSON.parse(document.getElementById("templates").textContent);
  const system = matchMedia("(prefers-color-scheme: dark)");
  const label = document.querySelector("#theme span");
  const choices = ["auto", "light", "dark"];
  // Pixels that a sheet of paper has for a figure, A4 being the narrower one.
  const paper = 600;
  let choice = "auto";
  let printing = false;
  // A page opened from a file may be denied storage; the choice then lasts as long as the page.
  try { choice = localStorage.getItem("mechscope-theme") || "auto"; } catch {}

  const isDark = () => choice === "dark" || (choice === "auto" && system.matches);

  // On a narrow screen a colour bar beside the picture would take a third of it: it lies down below.
  function lieDown(drawn, meta) {
    const bar = drawn.coloraxis.colorbar || {};
    const title = { ...bar.title, side: meta.aspect ? "top" : "bottom" };
    const flat = { ...bar, title, orientation: "h", x: 0.5, len: 0.9, thickness: 10 };
    if (meta.aspect) Object.assign(flat, { y: -0.02, yanchor: "top" });
    else {
      // Under the axis with its numbers and its title, which need room of their own.
      Object.assign(flat, { yref: "container", y: 0, yanchor: "bottom" });
      drawn.margin = { ...drawn.margin, b: drawn.margin.b + 62 };
      drawn.height += 50;
    }
    drawn.coloraxis = { ...drawn.coloraxis, colorbar: flat };
  }

  function draw() {
    if (choice === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    label.textContent = choice;
    const template = isDark() && !printing ? templates.dark : templates.light;
    for (const plot of document.querySelectorAll(".plot")) {
      const { data, layout } = JSON.parse(plot.parentElement.querySelector(".plot-data").textContent);
      const meta = layout.meta || {};
      const width = printing ? Math.min(paper, meta.max_width || paper) : plot.clientWidth;
      const drawn = { ...layout, template, autosize: !printing, ...(printing ? { width } : {}) };
      const narrow = width < 520;
      if (meta.aspect) {
        const bar = narrow ? 64 : 16;
        if (narrow) drawn.annotations = drawn.annotations.map((note) => ({ ...note, font: { size: 9 } }));
        drawn.height = Math.round((width - (narrow ? 0 : 104)) * meta.aspect + bar);
      }
      // Where each map has a scale of its own, the bars stay beside their maps.
      if (drawn.coloraxis && !drawn.coloraxis2 && narrow) lieDown(drawn, meta);
      plot.style.height = `${drawn.height}px`;
      // Afresh: a colour bar that turned would keep half of its old place.
      Plotly.newPlot(plot, data, drawn, { responsive: !printing, displaylogo: false, displayModeBar: false, scrollZoom: false });
    }
  }

  document.getElementById("theme").addEventListener("click", () => {
    choice = choices[(choices.indexOf(choice) + 1) % choices.length];
    try { localStorage.setItem("mechscope-theme", choice); } catch {}
    draw();
  });
  // Some browsers change to a light page while they print: the width for paper has to last until they are done.
  system.addEventListener("change", draw);
  // A telephone that is turned: colour bars lie down or stand up.
  matchMedia("(max-width: 560px)").addEventListener("change", draw);
  addEventListener("beforeprint", () => { printing = true; draw(); });
  addEventListener("afterprint", () => { printing = false; draw(); });
  draw();
})();
