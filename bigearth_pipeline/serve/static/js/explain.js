// What the score of a class on this patch depends on, computed when it is asked for.

import {address, get} from './base/api.js';
import {announce, choice, failure, h} from './base/dom.js';

const WORDS = {
  'grad-cam': 'Grad-CAM: places of the last grid that raise the score',
  'integrated-gradients': 'Integrated gradients: pixels and bands',
  'band-occlusion': 'Bands: what the score loses without each',
};

export function explanationPanel(facts, path, runs, state, signal, changed) {
  if (state.label === undefined || state.label === '') {
    return h('p', {class: 'note'}, 'Choose “why?” beside a class to see what its score depends on.');
  }
  state.method ??= facts.methods[0];
  const controls = h('div', {class: 'row'},
    choice('Class', facts.classes.map(({name}, i) => [i, name]), state.label, (value) => { state.label = value; changed(); }),
    choice('Method', facts.methods.map((name) => [name, WORDS[name] ?? name]), state.method,
      (value) => { state.method = value; changed(); }));
  const results = h('div', {class: 'row'}, runs.map((run) => ofRun(facts, path, run, state, signal)));
  return h('section', {'aria-label': 'Explanation'}, h('h2', {}, 'Explanation'), controls, results);
}

function ofRun(facts, path, run, state, signal) {
  const name = facts.runs.find((each) => String(each.number) === String(run))?.name ?? run;
  const box = h('div', {class: 'explained', 'aria-busy': 'true'}, h('h3', {}, name), h('p', {}, 'Computing …'));
  const query = {run, label: state.label, method: state.method};
  get(`${path}/explanation`, query, signal).then((found) => {
    const content = [h('h3', {}, name), h('p', {}, `Probability ${found.probability.toFixed(3)}`)];
    if (found.has_map) {
      const unit = found.limit === null ? '' : ` Full colour: ±${found.limit.toPrecision(2)} logits.`;
      content.push(h('figure', {}, h('img', {class: 'patch', width: 240, height: 240,
        alt: `Map of ${state.method} over the patch in true colour`, src: address(`${path}/explanation.webp`, query)}),
      h('figcaption', {}, `Orange raises the score${state.method === 'grad-cam' ? '.' : ', purple lowers it.'}${unit}`)));
    }
    if (found.bands) content.push(weights(found.bands));
    box.replaceChildren(...content);
    announce(`${name}: explained`);
  }).catch((error) => { if (!signal.aborted) box.replaceChildren(h('h3', {}, name), failure(error)); })
    .finally(() => box.setAttribute('aria-busy', 'false'));
  return box;
}

function weights(bands) {
  const most = Math.max(...Object.values(bands).map(Math.abs), 1e-12);
  return h('dl', {class: 'bands', 'aria-label': 'Weights of bands in logits'}, Object.entries(bands).map(([band, value]) => {
    const bar = h('div', {class: 'weight', 'aria-hidden': 'true'}, h('i', {class: value < 0 ? 'less' : ''}));
    const part = 50 * Math.abs(value) / most;
    bar.firstChild.style.width = `${part}%`;
    bar.firstChild.style.left = `${value < 0 ? 50 - part : 50}%`;
    return [h('dt', {}, band), h('dd', {}, bar), h('dd', {}, value.toFixed(3))];
  }));
}
