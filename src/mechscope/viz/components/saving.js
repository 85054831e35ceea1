// Save what a component shows as a file.

const STYLES = [
  "fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-family", "text-anchor", "dominant-baseline",
];

/** Let the browser save a text as a file. */
export function saveFile(text, type, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

/** A name for a file: letters, digits and hyphens of a title. */
export function fileName(title, ending) {
  const words = title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "");
  return `${words || "figure"}.${ending}`;
}

/** A drawing as the text of an SVG file, with the colours that it has now on the background that it has now. */
export function drawingAsFile(svg) {
  const copy = svg.cloneNode(true);
  const originals = svg.querySelectorAll("*");
  copy.querySelectorAll("*").forEach((one, index) => {
    const style = getComputedStyle(originals[index]);
    if (style.display === "none" || style.stroke === "rgba(0, 0, 0, 0)") one.dataset.unseen = "";
    for (const name of STYLES) one.setAttribute(name, style.getPropertyValue(name));
    one.removeAttribute("class");
  });
  for (const one of copy.querySelectorAll("path[data-unseen]")) one.remove();
  for (const name of ["class", "style", "tabindex"]) copy.removeAttribute(name);
  const [, , width, height] = copy.getAttribute("viewBox").split(" ");
  const background = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [key, value] of Object.entries({ width, height, fill: backgroundOf(svg) })) background.setAttribute(key, value);
  copy.prepend(background);
  return new XMLSerializer().serializeToString(copy);
}

function backgroundOf(element) {
  for (let one = element; one; one = one.parentElement) {
    const { backgroundColor } = getComputedStyle(one);
    if (backgroundColor !== "rgba(0, 0, 0, 0)") return backgroundColor;
  }
  return "white";
}
