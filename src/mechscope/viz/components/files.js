// Read the site's files: over HTTP as they are; from a folder as scripts, because a page opened from a file may not
// fetch. The builder of the static site writes each file a second time as such a script.

const ROOT = document.querySelector("script[data-root]").dataset.root;
const waiting = new Map();

/** The bytes of a file of the site, by its path from the site's root. */
export async function readBytes(path) {
  if (location.protocol === "file:") return bytesOf(await readScript(path));
  let response;
  try {
    response = await fetch(`${ROOT}${path}`);
  } catch {
    throw new Error(`${path} could not be read, because the server does not answer.`);
  }
  if (!response.ok) throw new Error(`${path} could not be read (${response.status}).`);
  return response.arrayBuffer();
}

/** A file of the site that holds JSON. */
export async function readJson(path) {
  return JSON.parse(new TextDecoder().decode(await readBytes(path)));
}

function readScript(path) {
  if (!waiting.has(path)) {
    waiting.set(path, new Promise((resolve, reject) => {
      window.mechscopeFiles ??= {};
      const script = document.createElement("script");
      script.src = `${ROOT}${path}.js`;
      script.onload = () => resolve(window.mechscopeFiles[path]);
      script.onerror = () => reject(new Error(`${path} is missing from this copy of the site.`));
      document.head.append(script);
    }));
  }
  return waiting.get(path);
}

function bytesOf(base64) {
  const letters = atob(base64);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes.buffer;
}
