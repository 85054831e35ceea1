// Start the modules of a page. A page opened from a file may not import modules or fetch files: there, the sources come
// from one ordinary script, `modules.js`, which the builder of the static site writes.
(() => {
  const { root, modules } = document.currentScript.dataset;
  const names = modules.split(" ").filter(Boolean);
  const folder = new URL(`${root}static/`, location.href).href;
  const failed = (error) => {
    const box = document.createElement("p");
    box.className = "problem";
    box.setAttribute("role", "alert");
    box.textContent = `This page could not start: ${error.message}`;
    document.querySelector("main").prepend(box);
    throw error;
  };

  function importFromSources() {
    const urls = new Map();
    const url = (name) => {
      if (!urls.has(name)) {
        const source = window.mechscopeModules[name];
        if (source === undefined) throw new Error(`the module ${name} is missing.`);
        const linked = source.replaceAll(/(\bfrom\s+|\bimport\s+)"\.\/([\w.-]+)"/g, (_, before, file) => `${before}"${url(file)}"`);
        urls.set(name, URL.createObjectURL(new Blob([linked], { type: "text/javascript" })));
      }
      return urls.get(name);
    };
    return Promise.all(names.map((name) => import(url(name))));
  }

  if (location.protocol !== "file:") {
    Promise.all(names.map((name) => import(folder + name))).catch(failed);
    return;
  }
  const script = document.createElement("script");
  script.src = `${folder}modules.js`;
  script.onload = () => importFromSources().catch(failed);
  script.onerror = () => failed(new Error("the file static/modules.js is missing."));
  document.head.append(script);
})();
