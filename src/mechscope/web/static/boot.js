// Start the modules of a page. A page opened from a file may not import modules or fetch files: there, all of them come in
// one ordinary script, `modules.js`, which the builder of the static site writes (viz/module_bundle.py).
(() => {
  const { root, modules } = document.currentScript.dataset;
  // What is behind # in a page's address may be what the page shows: skipping the menu must not overwrite it.
  document.querySelector("a.skip").addEventListener("click", (event) => {
    const main = document.querySelector("main");
    event.preventDefault();
    main.tabIndex = -1;
    main.focus();
  });
  const names = modules.split(" ").filter(Boolean);
  const folder = new URL(`${root}static/`, location.href).href;
  const failed = (error) => {
    const box = document.createElement("p");
    box.className = "problem";
    box.setAttribute("role", "alert");
    box.textContent = `This page could not start: ${error.message.replace(/[^.!?]$/, "$&.")} Reload it to try again.`;
    for (const words of document.querySelectorAll("[data-loading]")) words.hidden = true;
    document.querySelector("main").prepend(box);
    throw error;
  };

  if (location.protocol !== "file:") {
    Promise.all(names.map((name) => import(folder + name))).catch(failed);
    return;
  }
  const script = document.createElement("script");
  script.src = `${folder}modules.js`;
  script.onload = () => Promise.all(names.map((name) => mechscopeUse(name))).catch(failed);
  script.onerror = () => failed(new Error("the file static/modules.js is missing."));
  document.head.append(script);
})();
