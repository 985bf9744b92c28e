/**
 * Elements, built so that whatever comes from a call can only become text: nothing here reads markup.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 *
 * @param {string} tag Its name.
 * @param {object} attributes `onclick` and its like become listeners, `true` an empty attribute; null and false none.
 * @param {...(Node|string|null)} children Strings become text.
 */
export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an element of a drawing; as `element`. */
export function drawing(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Replace a text, but only where it differs: a write would end the reader's selection. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Replace what is in an element. */
export function put(parent, ...children) {
  parent.replaceChildren(...children.filter((child) => child != null));
}

/**
 * Have one child for each item, in their order. A child stays the same element as long as its key is there: focus,
 * selection and hover survive the next look at the server.
 *
 * @param {Element} parent Whose children; all of them are made here.
 * @param {Iterable} items What they show.
 * @param {(item) => string} keyOf What an item is known by.
 * @param {(item) => Element} make Makes a child.
 * @param {(child: Element, item) => void} update Has it show the item as it is now.
 */
export function keep(parent, items, keyOf, make, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let next = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = old.get(key);
    old.delete(key);
    if (!child) {
      child = make(item);
      child.dataset.key = key;
    }
    update(child, item);
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
  while (next) { // what is left has no item any more, or was a second one of its key
    const gone = next;
    next = next.nextElementSibling;
    gone.remove();
  }
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value != null && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}
