// Make elements of a page in one expression.

/** An element with properties and children; texts among the children are text, never HTML. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
