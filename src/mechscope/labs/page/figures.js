// Draws the page's figures and redraws them when the theme changes. Needs Plotly, loads nothing.
(() => {
  const templates = JSON.parse(document.getElementById("templates").textContent);
  const system = matchMedia("(prefers-color-scheme: dark)");
  const label = document.querySelector("#theme span");
  const choices = ["auto", "light", "dark"];
  let choice = "auto";
  // A page opened from a file may be denied storage; the choice then lasts as long as the page.
  try { choice = localStorage.getItem("mechscope-theme") || "auto"; } catch {}

  const isDark = () => choice === "dark" || (choice === "auto" && system.matches);

  function draw() {
    if (choice === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    label.textContent = choice;
    const template = isDark() ? templates.dark : templates.light;
    for (const plot of document.querySelectorAll(".plot")) {
      const { data, layout } = JSON.parse(plot.parentElement.querySelector(".plot-data").textContent);
      const drawn = { ...layout, template, autosize: true };
      const narrow = plot.clientWidth < 520;
      if (layout.meta && layout.meta.aspect) {
        const bar = narrow ? 64 : 16;
        if (narrow) drawn.annotations = drawn.annotations.map((note) => ({ ...note, font: { size: 9 } }));
        drawn.height = Math.round((plot.clientWidth - (narrow ? 0 : 104)) * layout.meta.aspect + bar);
        plot.style.height = `${drawn.height}px`;
      }
      // On a narrow screen a colour bar beside the picture would take a third of it.
      if (drawn.coloraxis && narrow) {
        const bar = drawn.coloraxis.colorbar || {};
        const title = { ...bar.title, side: "top" };
        drawn.coloraxis = {
          ...drawn.coloraxis,
          colorbar: { ...bar, title, orientation: "h", y: -0.02, yanchor: "top", x: 0.5, len: 0.9, thickness: 10 },
        };
      }
      Plotly.react(plot, data, drawn, { responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false });
    }
  }

  document.getElementById("theme").addEventListener("click", () => {
    choice = choices[(choices.indexOf(choice) + 1) % choices.length];
    try { localStorage.setItem("mechscope-theme", choice); } catch {}
    draw();
  });
  system.addEventListener("change", draw);
  draw();
})();
