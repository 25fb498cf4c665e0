// Layers of the map and their colours, which follow the scheme of the page.

import {address} from './base/api.js';

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const UNKNOWN = 255;

export function style() {
  return {
    version: 8,
    sources: {land: {type: 'geojson', data: address('outlines.json')}},
    layers: [
      {id: 'sea', type: 'background', paint: {'background-color': colour('sea')}},
      {id: 'land', type: 'fill', source: 'land', filter: ['==', ['get', 'kind'], 'land'],
        paint: {'fill-color': colour('land'), 'fill-outline-color': colour('border')}},
      {id: 'borders', type: 'line', source: 'land', filter: ['==', ['get', 'kind'], 'border'],
        paint: {'line-color': colour('border'), 'line-width': 0.8}},
    ],
  };
}

export function tilesOf(about, store, filter) {
  const given = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== '' && value !== undefined));
  const query = new URLSearchParams({...given, v: about.started});
  return `${address(`stores/${store.number}`)}/tiles/{z}/{x}/{y}.mvt?${query}`;
}

export function addPatches(map, about, store, filter) {
  removeLayers(map, ['patch-lines', 'patches'], 'patches');
  map.addSource('patches', {type: 'vector', tiles: [tilesOf(about, store, filter)], minzoom: 0, maxzoom: 14,
    bounds: store.bounds ?? undefined});
  const bySplit = ['match', ['get', 's'], 0, colour('split-0'), 1, colour('split-1'), colour('split-2')];
  // A run without predictions on the store leaves `r` out.
  const share = ['coalesce', ['get', 'r'], UNKNOWN];
  const byShare = ['case', ['==', share, UNKNOWN], colour('border'),
    ['interpolate', ['linear'], share, 0, '#c4382b', 50, '#f0d89a', 100, '#2a78b0']];
  map.addLayer({id: 'patches', type: 'fill', source: 'patches', 'source-layer': 'patches', paint: {
    'fill-color': filter.run === undefined || filter.run === '' ? bySplit : byShare,
    'fill-opacity': ['interpolate', ['linear'], ['log10', ['get', 'n']], 0, 0.85, 2, 0.95],
    'fill-antialias': false,
  }});
  map.addLayer({id: 'patch-lines', type: 'line', source: 'patches', 'source-layer': 'patches', minzoom: 10,
    paint: {'line-color': colour('ink'), 'line-opacity': 0.6, 'line-width': 0.6}});
}

export function addScene(map, about, scene, settings) {
  const id = `scene-${scene.number}`;
  removeLayers(map, [id], id);
  if (!settings.shown) return;
  const query = new URLSearchParams({threshold: settings.threshold, v: about.started});
  if (settings.label !== '') query.set('label', settings.label);
  map.addSource(id, {type: 'raster', tileSize: 256, bounds: scene.bounds, maxzoom: 14,
    tiles: [`${address(`scenes/${scene.number}`)}/tiles/{z}/{x}/{y}.png?${query}`]});
  map.addLayer({id, type: 'raster', source: id,
    paint: {'raster-opacity': Number(settings.opacity), 'raster-resampling': 'nearest', 'raster-fade-duration': 0}},
  map.getLayer('patches') ? 'patches' : undefined);
}

function removeLayers(map, layers, source) {
  for (const layer of layers) if (map.getLayer(layer)) map.removeLayer(layer);
  if (map.getSource(source)) map.removeSource(source);
}
