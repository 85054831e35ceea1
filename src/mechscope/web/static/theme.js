// Apply the reader's choice of a theme before the page is painted, and let the button change it.
(() => {
  const choices = ["auto", "light", "dark"];
  let choice = "auto";
  // A page opened from a file may be denied storage; the choice then lasts as long as the page.
  try { choice = localStorage.getItem("mechscope-theme") || "auto"; } catch {}
  const apply = () => {
    if (choice === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    const label = document.querySelector("#theme span");
    if (label) label.textContent = choice;
    dispatchEvent(new Event("mechscope-theme"));
  };
  apply();
  addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", () => {
      choice = choices[(choices.indexOf(choice) + 1) % choices.length];
      try { localStorage.setItem("mechscope-theme", choice); } catch {}
      apply();
    });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("mechscope-theme")));
})();
