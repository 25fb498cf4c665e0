// Patches of a store on a map, predicted scenes over it, and a list of the patches in view for the keyboard.

import * as maplibre from '../vendor/maplibre-gl/maplibre-gl.mjs';
import {about, get} from './base/api.js';
import {announce, choice, failure, h} from './base/dom.js';
import {addPatches, addScene, style} from './layers.js';
import {scenePanel} from './scenes.js';

maplibre.setWorkerUrl(new URL('../vendor/maplibre-gl/maplibre-gl-worker.mjs', import.meta.url).href);

const FILTERS = ['split', 'country', 'month', 'label', 'run', 'outcome'];
const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October',
  'November', 'December'];

export async function show(main, {settings, keep, setTitle}) {
  setTitle('Map');
  const facts = await about();
  const store = facts.stores[Number(settings.store ?? 0)] ?? facts.stores[0];
  const filter = Object.fromEntries(FILTERS.map((name) => [name, settings[name] ?? '']));
  const list = h('div', {'aria-live': 'polite'});
  const legend = h('p', {class: 'note'});
  const element = h('div', {class: 'map', id: 'map'});
  const panel = h('div', {class: 'panel'}, h('h1', {}, 'Map'));
  main.replaceChildren(h('div', {class: 'map-view'}, panel, element));

  const bounds = store?.bounds ?? facts.scenes[0]?.bounds ?? [-11, 36, 30, 70];
  const place = placeOf(settings.at);
  let map;
  try {
    map = new maplibre.Map({
      container: element, style: style(), attributionControl: false, dragRotate: false, pitchWithRotate: false,
      maxZoom: 16, fadeDuration: 0, renderWorldCopies: false,
      ...(place ? {center: [place[0], place[1]], zoom: place[2]}
        : {bounds, fitBoundsOptions: {padding: 30, maxZoom: 11}}),
    });
  } catch {
    element.replaceChildren(h('p', {class: 'error'}, 'The map needs WebGL 2, which this browser lacks or has switched '
      + 'off; the list of patches works without it.'));
  }
  map?.touchZoomRotate.disableRotation();
  map?.addControl(new maplibre.NavigationControl({showCompass: false}), 'top-right');
  map?.addControl(new maplibre.ScaleControl());
  map?.addControl(new maplibre.AttributionControl({compact: true, customAttribution: 'Land: Natural Earth'}));
  map?.getCanvas().setAttribute('aria-label', 'Map of the patches; arrows move it, plus and minus zoom');

  const asking = {controller: null};
  const scenes = new Map();
  // Layers can be added from the moment the style is there, and have to be after each change of it.
  let isReady = false;
  map?.on('style.load', () => {
    isReady = true;
    if (store) addPatches(map, facts, store, filter);
    for (const [scene, values] of scenes) addScene(map, facts, scene, values);
  });
  const remember = () => {
    const at = map ? map.getCenter() : null;
    keep('map', {store: store?.number || '', ...filter,
      at: at ? `${at.lng.toFixed(4)},${at.lat.toFixed(4)},${map.getZoom().toFixed(2)}` : settings.at});
  };
  const refresh = () => { remember(); if (store) listPatches(list, store, filter, map, asking); };
  const applied = () => {
    if (filter.run === '') filter.outcome = '';
    legend.replaceChildren(...legendOf(store, filter));
    if (isReady && store) addPatches(map, facts, store, filter);
    refresh();
  };
  if (store) panel.append(filterPanel(facts, store, filter, applied), legend, h('h2', {}, 'Patches in view'), list);
  else panel.append(h('p', {}, 'No store is shown; start the server with --shards DIR.'));
  const layers = scenePanel(facts, (scene, values) => {
    scenes.set(scene, values);
    if (isReady) addScene(map, facts, scene, values);
  }, (scene) => map?.fitBounds(scene.bounds, {padding: 30, duration: 0}));
  if (layers) panel.append(layers);
  applied();
  map?.on('moveend', refresh);
  map?.on('error', ({error}) => announce(error?.message ?? 'the map failed'));
  map?.on('idle', () => { element.dataset.idle = 'true'; });
  for (const name of ['movestart', 'dataloading']) map?.on(name, () => { delete element.dataset.idle; });
  map?.on('click', 'patches', (event) => openFeature(map, store, filter, event).catch((error) => announce(error.message)));
  for (const [name, cursor] of [['mouseenter', 'pointer'], ['mouseleave', '']]) {
    map?.on(name, 'patches', () => { map.getCanvas().style.cursor = cursor; });
  }
  element.map = map;
  const scheme = matchMedia('(prefers-color-scheme: dark)');
  const recolour = () => map?.setStyle(style(), {diff: false});
  scheme.addEventListener('change', recolour);
  return () => { scheme.removeEventListener('change', recolour); asking.controller?.abort(); map?.remove(); };
}

function filterPanel(facts, store, filter, applied) {
  const any = (words) => [['', words]];
  const set = (name) => (value) => { filter[name] = value; applied(); };
  const box = h('fieldset', {}, h('legend', {}, `${store.patches.toLocaleString('en')} patches`));
  if (facts.stores.length > 1) {
    box.append(choice('Store', facts.stores.map((each) => [each.number, each.folder]), store.number,
      (value) => { location.hash = `#/map?store=${value}`; }));
  }
  box.append(
    choice('Split', [...any('all splits'), ...Object.keys(store.splits).map((name) => [name, name])], filter.split,
      set('split')),
    choice('Country', [...any('all countries'), ...store.countries.map((name) => [name, name])], filter.country,
      set('country')),
    choice('Month', [...any('all months'), ...store.months.map((month) => [month, MONTHS[month - 1]])], filter.month,
      set('month')),
    choice('Class', [...any('all classes'), ...facts.classes.map(({name}, i) => [i, name])], filter.label,
      set('label')),
  );
  if (facts.scored.length) {
    const outcome = choice('Predictions', [['', 'all'], ['right', 'right'], ['wrong', 'wrong']], filter.outcome,
      set('outcome'));
    const select = outcome.querySelector('select');
    select.disabled = filter.run === '';
    box.append(choice('Colour by run', [['', 'none: colour by split'],
      ...facts.scored.map((run) => [run.number, run.name])], filter.run, (value) => {
      filter.run = value;
      select.disabled = value === '';
      if (value === '') select.value = '';
      applied();
    }), outcome);
  }
  return box;
}

function legendOf(store, filter) {
  if (!store) return [];
  if (filter.run !== '') return ['Blue: predictions are right; red: wrong; grey: not predicted.'];
  return Object.keys(store.splits).flatMap((name, i) => [h('span', {class: `swatch split-${i}`}), `${name} `]);
}

async function listPatches(list, store, filter, map, asking) {
  asking.controller?.abort();
  const controller = asking.controller = new AbortController();
  const box = map?.getBounds();
  const corners = box ? {
    west: Math.max(-180, box.getWest()), south: Math.max(-85, box.getSouth()),
    east: Math.min(180, box.getEast()), north: Math.min(85, box.getNorth()),
  } : {};
  try {
    const found = await get(`stores/${store.number}/patches`, {...filter, ...corners}, controller.signal);
    const rest = found.count - found.patches.length;
    list.replaceChildren(
      h('p', {}, `${found.count.toLocaleString('en')} patches${rest > 0 ? `, the first ${found.patches.length}:` : ''}`),
      h('ul', {class: 'keys', tabindex: '0', 'aria-label': 'Patches in view'}, found.patches.map((patch) => h('li', {},
        h('a', {href: patchAddress(store.source, patch.key, filter)}, patch.key), h('span', {class: 'soft'}, ` ${patch.split}${patch.country ? `, ${patch.country}` : ''}`)))));
  } catch (error) {
    if (error.name !== 'AbortError') list.replaceChildren(failure(error));
  }
}

// Longitude, latitude and zoom of an address; null where it has none that is on the map.
function placeOf(text = '') {
  const found = text.split(',').map(Number);
  const [east, north, zoom] = found;
  return found.length === 3 && Math.abs(east) <= 180 && Math.abs(north) <= 85 && zoom >= 0 ? found : null;
}

function patchAddress(source, key, filter) {
  return `#/patch/${source}/${key}${filter.run === '' ? '' : `?run=${filter.run}`}`;
}

async function openFeature(map, store, filter, event) {
  const found = event.features[0]?.properties;
  if (found?.k === undefined) {
    map.easeTo({center: event.lngLat, zoom: Math.min(map.getZoom() + 2, 12), duration: 0});
    return;
  }
  const {source, key} = await get(`stores/${store.number}/rows/${found.k}`);
  location.hash = patchAddress(source, key, filter);
}
