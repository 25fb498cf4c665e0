// The view that the address names: #/map, #/patch/SOURCE/KEY, #/runs, #/check, #/upload, with its settings after a ?.

import {announce, failure, h} from './base/dom.js';
import {linked, unlinked} from './base/links.js';

const views = {
  map: () => import('./map.js'),
  patch: () => import('./patch.js'),
  runs: () => import('./runs.js'),
  check: () => import('./check.js'),
  upload: () => import('./upload.js'),
};
const main = document.getElementById('view');
let leave = null;
let asking = new AbortController();
let number = 0;

function route() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [name = '', ...parts] = path.split('/').map(decoded);
  return {name: name in views ? name : 'map', parts, settings: Object.fromEntries(new URLSearchParams(query))};
}

// What is no text in UTF-8 stays as it is: the server says that it has nothing of that name.
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

// Put the settings of a view into the address, so that it can be passed on.
function keep(path, settings) {
  const filled = Object.entries(linked(settings)).filter(([, value]) => value !== null && value !== undefined && value !== '');
  const query = new URLSearchParams(filled).toString();
  history.replaceState(null, '', `#/${path}${query ? `?${query}` : ''}`);
}

async function show() {
  const own = ++number;
  leave?.();
  leave = null;
  // Browsers have few connections to a server, which are for the view that is shown.
  asking.abort();
  asking = new AbortController();
  const {name, ...written} = route();
  // A view has a place of its own, so that one that is left writes nothing over the next one, nor into its address.
  const place = h('div', {class: 'place'});
  const isShown = () => own === number;
  const tools = {signal: asking.signal, keep: (...values) => { if (isShown()) keep(...values); },
    setTitle: (title) => { if (isShown()) document.title = `${title} – bep serve`; }};
  for (const link of document.querySelectorAll('nav a')) {
    if (link.getAttribute('href') === `#/${name}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  main.replaceChildren(place);
  main.classList.toggle('whole', name === 'map');
  try {
    const [view, {parts, settings}] = await Promise.all([views[name](), unlinked({name, ...written})]);
    if (!isShown()) return;
    const left = await view.show(place, {...tools, parts, settings});
    if (!isShown()) {
      left?.();
      return;
    }
    leave = left ?? null;
    main.dataset.shown = name;
    announce(document.title);
  } catch (error) {
    if (isShown()) place.replaceChildren(failure(error));
  }
}

// By itself the link would take the place of the view in the address.
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener('hashchange', show);
show();
