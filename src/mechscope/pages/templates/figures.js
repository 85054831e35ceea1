// Draws the page's figures when they come near the screen, and redraws them when the theme changes. Needs Plotly, loads
// nothing.
(() => {
  const templates = JSON.parse(document.getElementById("plot-themes").textContent);
  const system = matchMedia("(prefers-color-scheme: dark)");
  // Pixels that a sheet of paper has for a figure, A4 being the narrower one.
  const paper = 600;
  const drawn = new Set();
  let printing = false;

  const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

  // On a narrow screen a colour bar beside the picture would take a third of it: it lies down below.
  function lieDown(layout, meta) {
    const bar = layout.coloraxis.colorbar || {};
    const title = { ...bar.title, side: meta.aspect ? "top" : "bottom" };
    const flat = { ...bar, title, orientation: "h", x: 0.5, len: 0.9, thickness: 10 };
    if (meta.aspect) Object.assign(flat, { y: -0.02, yanchor: "top" });
    else {
      // Under the axis with its numbers and its title, which need room of their own.
      Object.assign(flat, { yref: "container", y: 0, yanchor: "bottom" });
      layout.margin = { ...layout.margin, b: layout.margin.b + 62 };
      layout.height += 50;
    }
    layout.coloraxis = { ...layout.coloraxis, colorbar: flat };
  }

  // What Plotly is to draw at the figure's present width.
  function prepare(plot) {
    const { data, layout } = JSON.parse(plot.parentElement.querySelector(".plot-data").textContent);
    const meta = layout.meta || {};
    const width = printing ? Math.min(paper, meta.max_width || paper) : plot.clientWidth;
    const wanted = { ...layout, autosize: !printing, ...(printing ? { width } : {}) };
    const narrow = width < 520;
    if (meta.aspect) {
      const bar = narrow ? 64 : 16;
      if (narrow) wanted.annotations = wanted.annotations.map((note) => ({ ...note, font: { size: 9 } }));
      wanted.height = Math.round((width - (narrow ? 0 : 104)) * meta.aspect + bar);
    }
    // Where each map has a scale of its own, the bars stay beside their maps.
    if (wanted.coloraxis && !wanted.coloraxis2 && narrow) lieDown(wanted, meta);
    return { data: data.map(window.mechscopePlots.unscaled), layout: wanted };
  }

  function draw(plot) {
    drawn.add(plot);
    const { data, layout } = prepare(plot);
    plot.style.height = `${layout.height}px`;
    layout.template = isDark() && !printing ? templates.dark : templates.light;
    // Afresh: a colour bar that turned would keep half of its old place.
    Plotly.newPlot(plot, data, layout, { responsive: !printing, displaylogo: false, displayModeBar: false, scrollZoom: false });
  }

  const plots = [...document.querySelectorAll(".plot")];
  if (!window.Plotly) {
    for (const plot of plots) {
      plot.style.height = "auto";
      plot.textContent = "This figure could not be drawn, because static/plotly.js was not loaded.";
    }
    return;
  }
  // Their final heights first, so that nothing moves while the reader scrolls or follows a link.
  for (const plot of plots) plot.style.height = `${prepare(plot).layout.height}px`;
  const nearby = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      nearby.unobserve(entry.target);
      if (!drawn.has(entry.target)) draw(entry.target);
    }
  }, { rootMargin: "800px" });
  for (const plot of plots) nearby.observe(plot);

  const redraw = () => drawn.forEach(draw);
  addEventListener("mechscope-theme", redraw);
  // A telephone that is turned: colour bars lie down or stand up.
  matchMedia("(max-width: 560px)").addEventListener("change", redraw);
  // Some browsers change to a light page while they print: the width for paper has to last until they are done.
  addEventListener("beforeprint", () => { printing = true; plots.forEach(draw); });
  addEventListener("afterprint", () => { printing = false; redraw(); });
})();
