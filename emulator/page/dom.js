/** Helpers for the document. */

/**
 * Find an element by its id.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function find(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`The page has no ${kind.name} #${id}.`);
  return element;
}

/**
 * Make an element with text and other elements in it.
 * @param {string} name
 * @param {(string | Node)[]} inside
 */
export function make(name, ...inside) {
  const element = document.createElement(name);
  element.append(...inside);
  return element;
}
