// Elements of the page: made from data, never from text that is HTML.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  fill(element, attributes, children);
  return element;
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'value') element.value = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(3).filter((each) => each !== null && each !== undefined && each !== false));
  if ('value' in attributes && element.tagName === 'SELECT') element.value = attributes.value;
}

// Tell users of screen readers what has changed.
export function announce(text) {
  document.getElementById('status').textContent = text;
}

export function failure(error) {
  announce(error.message);
  return h('p', {class: 'error', role: 'alert'}, error.message);
}

// A labelled list of choices: [value, words] each.
let count = 0;

export function choice(words, choices, value, changed) {
  // The text of a label around a list would have that of the list in it.
  const id = `choice-${++count}`;
  const select = h('select', {'aria-labelledby': id, onchange: () => changed(select.value)}, choices.map(
    ([each, text]) => h('option', {value: each}, text)));
  select.value = value ?? '';
  return h('label', {}, h('span', {id}, words), select);
}

export function percent(value, digits = 0) {
  return value === null || value === undefined ? '' : `${(100 * value).toFixed(digits)} %`;
}

// Replace what an element holds; lists are taken apart, and null is nothing.
export function put(element, ...children) {
  element.replaceChildren(...children.flat(3).filter((each) => each !== null && each !== undefined && each !== false));
}

const nameOf = (control) => `${control.tagName} ${(control.labels?.[0] ?? control).textContent}`;

// Draw a part of the page anew, and leave the keyboard at the control of the same name.
export function redraw(box, draw) {
  const focused = box.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  draw();
  if (focused) [...box.querySelectorAll('a, button, select, input, summary')].find((each) => nameOf(each) === focused)?.focus();
}
