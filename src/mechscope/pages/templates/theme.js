// Apply the reader's choice of a theme before the page is painted, and let the button change it. Whatever has colours of
// its own listens for "mechscope-theme".
(() => {
  const root = document.documentElement;
  const choices = ["auto", "light", "dark"];
  let choice = "auto";
  // A page opened from a file may be denied storage; the choice then lasts as long as the page.
  try { choice = localStorage.getItem("mechscope-theme") || "auto"; } catch {}
  const apply = () => {
    if (choice === "auto") delete root.dataset.theme;
    else root.dataset.theme = choice;
  };
  const announce = () => dispatchEvent(new Event("mechscope-theme"));
  apply();
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = button.querySelector("span");
    label.textContent = choice;
    button.addEventListener("click", () => {
      choice = choices[(choices.indexOf(choice) + 1) % choices.length];
      try { localStorage.setItem("mechscope-theme", choice); } catch {}
      label.textContent = choice;
      apply();
      announce();
    });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", announce);
})();
