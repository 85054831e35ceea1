// Make elements of a page in one expression.

/** An element with properties and children; texts among the children are text, never HTML, and empty ones are left out. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== ""));
  return element;
}
