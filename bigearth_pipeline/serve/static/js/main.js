// The view that the address names: #/map, #/patch/SOURCE/KEY, #/runs, #/check, #/upload, with its settings after a ?.

import {announce, failure} from './base/dom.js';

const views = {
  map: () => import('./map.js'),
  patch: () => import('./patch.js'),
  runs: () => import('./runs.js'),
  check: () => import('./check.js'),
  upload: () => import('./upload.js'),
};
const main = document.getElementById('view');
let leave = null;
let number = 0;

function route() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [name = '', ...parts] = path.split('/').map(decodeURIComponent);
  return {name: name in views ? name : 'map', parts, settings: Object.fromEntries(new URLSearchParams(query))};
}

// Put the settings of a view into the address, so that it can be passed on.
export function keep(path, settings) {
  const filled = Object.entries(settings).filter(([, value]) => value !== null && value !== undefined && value !== '');
  const query = new URLSearchParams(filled).toString();
  history.replaceState(null, '', `#/${path}${query ? `?${query}` : ''}`);
}

async function show() {
  if (location.hash === '#view') return;
  const own = ++number;
  leave?.();
  leave = null;
  const {name, parts, settings} = route();
  for (const link of document.querySelectorAll('nav a')) {
    if (link.getAttribute('href') === `#/${name}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  main.replaceChildren();
  main.classList.toggle('whole', name === 'map');
  try {
    const view = await views[name]();
    if (own !== number) return;
    const left = await view.show(main, {parts, settings});
    if (own === number) leave = left ?? null;
    else left?.();
    main.dataset.shown = name;
    announce(document.title);
  } catch (error) {
    if (own === number) main.replaceChildren(failure(error));
  }
}

window.addEventListener('hashchange', show);
show();
