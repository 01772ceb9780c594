// The few things that a page of live numbers needs: nodes, text that only changes when it changed,
// and lists whose rows survive a frame, so that a click never falls between two of them.

export function el(tag, attrs = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

/** Text in which `what stands between backticks` is shown as code. */
export function prose(node, value) {
  if (node.mxProse === value) return;
  node.mxProse = value;
  node.replaceChildren(...value.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part)));
}

/** Booleans are written out, as `data-` and `aria-` attributes want them; null takes the attribute away. */
export function attr(node, name, value) {
  if (value === null || value === undefined) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

/** Rows by key. `make()` gives `{ node, update(item) }`; rows are moved, never made anew. */
export class Rows {
  constructor(parent, make) {
    this.parent = parent;
    this.make = make;
    this.rows = new Map();
  }

  update(items, keyOf) {
    const gone = new Set(this.rows.keys());
    let place = this.parent.firstChild;
    for (const item of items) {
      const key = keyOf(item);
      let row = this.rows.get(key);
      if (!row) this.rows.set(key, (row = this.make(item)));
      gone.delete(key);
      if (row.node === place) place = place.nextSibling;
      else this.parent.insertBefore(row.node, place);
      row.update(item);
    }
    for (const key of gone) {
      this.rows.get(key).node.remove();
      this.rows.delete(key);
    }
  }
}
