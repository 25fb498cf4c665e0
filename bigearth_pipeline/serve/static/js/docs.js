// The API as its OpenAPI description tells it.

import {address, get} from './base/api.js';
import {failure, h} from './base/dom.js';

const place = document.getElementById('operations');

function kind(schema = {}) {
  const kinds = (schema.anyOf ?? [schema]).filter((each) => each.type !== 'null');
  return kinds.map((each) => (each.enum ? each.enum.join(' | ') : each.const ?? each.type ?? 'object')).join(' or ');
}

function operation(path, method, found) {
  const rows = (found.parameters ?? []).map((each) => h('tr', {}, h('th', {scope: 'row'}, each.name), h('td', {}, each.in),
    h('td', {}, kind(each.schema) + (each.required ? ', required' : '')), h('td', {}, each.description ?? '')));
  return h('section', {}, h('h2', {}, `${method.toUpperCase()} ${path}`), h('p', {}, found.description ?? ''),
    rows.length ? h('div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `Parameters of ${method.toUpperCase()} ${path}`},
      h('table', {}, h('thead', {}, h('tr', {}, ['name', 'in', 'type', 'meaning'].map((each) => h('th', {scope: 'col'}, each)))),
        h('tbody', {}, rows))) : null,
    h('p', {class: 'soft'}, `Answers: ${Object.entries(found.responses).map(
      ([status, each]) => `${status} ${each.description}`).join(' · ')}`));
}

try {
  const description = await get('openapi.json');
  place.replaceChildren(
    h('p', {}, description.info.description, ' ', h('a', {href: address('openapi.json')}, 'OpenAPI description'), '.'),
    ...Object.entries(description.paths).flatMap(([path, methods]) => Object.entries(methods).map(
      ([method, found]) => operation(path, method, found))));
} catch (error) {
  place.replaceChildren(failure(error));
}
