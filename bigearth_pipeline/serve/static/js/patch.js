// One patch: pictures, facts, labels beside probabilities of one or two runs, explanations, and what lies around it.

import {about, address, get} from './base/api.js';
import {choice, failure, h, redraw} from './base/dom.js';
import {explanationPanel} from './explain.js';
import {scoreTable} from './scores.js';

const SIDE = 240;

export async function show(main, {parts, settings, signal, keep, setTitle}) {
  const [source, key] = parts;
  setTitle(key);
  const path = `patches/${encodeURIComponent(source)}/${encodeURIComponent(key)}`;
  const [facts, patch] = await Promise.all([about(), get(path, {}, signal)]);
  const state = {run: String(facts.scored[0]?.number ?? ''), ...settings};
  const remember = () => keep(`patch/${source}/${key}`, state);
  const title = h('h1', {}, source.startsWith('u') ? `Patch ${key} of ${patch.folder}` : patch.key);
  const scores = h('div', {id: 'scores'});
  const explanation = h('div', {id: 'explanation'});

  let turn = 0;
  async function refresh() {
    const own = ++turn;
    remember();
    const runs = [state.run, state.run2].filter((each) => each !== undefined && each !== '');
    try {
      const found = await Promise.all(runs.map((run) => get(`${path}/scores`, {run}, signal)));
      if (own !== turn) return;
      scores.replaceChildren(scoreTable(facts, patch, found, (label) => {
        state.label = String(label);
        showExplanation();
        explanation.scrollIntoView({block: 'nearest'});
      }));
      showExplanation();
    } catch (error) {
      if (own !== turn || signal.aborted) return;
      scores.replaceChildren(failure(error));
      explanation.replaceChildren();
    }
  }
  let explaining = new AbortController();
  signal.addEventListener('abort', () => explaining.abort());
  function showExplanation() {
    remember();
    // Others of this page wait for the same network.
    explaining.abort();
    explaining = new AbortController();
    const runs = [state.run, state.run2].filter((each) => each !== undefined && each !== '');
    redraw(explanation, () => explanation.replaceChildren(
      explanationPanel(facts, path, runs, state, explaining.signal, showExplanation)));
  }

  main.replaceChildren(title, factLine(patch), linkButton(),
    h('h2', {}, 'Pictures'), pictures(facts, path, state, remember),
    h('h2', {}, 'Labels and probabilities'), runChoices(facts, state, refresh), scores, explanation,
    around(facts, path, source, patch, state));
  if (facts.scored.length || state.run !== '') await refresh();
  else scores.replaceChildren(scoreTable(facts, patch, []), h('p', {}, 'No run is shown; start the server with a run.'));
}

function factLine(patch) {
  const flags = [patch.seasonal_snow && 'seasonal snow', patch.cloud_or_shadow && 'cloud or shadow'].filter(Boolean);
  const degrees = (value, [plus, minus]) => `${Math.abs(value).toFixed(4)}° ${value < 0 ? minus : plus}`;
  const place = patch.place ? `${degrees(patch.place[1], 'NS')} ${degrees(patch.place[0], 'EW')}` : null;
  const words = [patch.split, patch.country, patch.date?.slice(0, 10), patch.crs, place, ...flags,
    patch.missing ? `${Math.round(100 * patch.missing)} % of its area is missing` : null].filter(Boolean);
  const line = h('p', {class: 'soft'}, words.join(' · '));
  if (patch.place && patch.store !== null) {
    line.append(' · ', h('a', {href: `#/map?store=${patch.store}&at=${patch.place[0]},${patch.place[1]},12`}, 'on the map'));
  }
  for (const note of patch.notes ?? []) line.append(h('br'), note);
  return line;
}

function linkButton() {
  const button = h('button', {type: 'button', onclick: async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      button.textContent = 'Copied';
    } catch {
      button.textContent = 'Copy it from the address bar';
    }
    setTimeout(() => { button.textContent = 'Copy link to this view'; }, 2000);
  }}, 'Copy link to this view');
  return button;
}

function pictures(facts, path, state, remember) {
  const figure = (bands, words, extra = {}) => h('figure', {},
    h('img', {class: 'patch', width: SIDE, height: SIDE, alt: `Patch in ${words}`,
      src: address(`${path}/picture.webp`, {bands, ...extra, v: facts.started})}), h('figcaption', {}, words));
  const own = h('div', {id: 'own-bands'});
  const wanted = (state.bands ?? '').split(',');
  const bands = wanted.length === 3 && wanted.every((band) => facts.bands.includes(band)) ? wanted : ['B11', 'B08', 'B02'];
  const update = () => {
    state.bands = bands.join(',');
    const extra = {low: state.low, high: state.high, gamma: state.gamma};
    own.replaceChildren(figure(state.bands, `bands ${bands.join(', ')}`, extra));
    remember();
  };
  const number = (name, words, attributes) => {
    const input = h('input', {type: 'number', value: state[name] ?? '', ...attributes, onchange: () => {
      if (input.reportValidity()) { state[name] = input.value; update(); }
    }});
    // What an address says has the same limits.
    if (!input.checkValidity()) input.value = '';
    state[name] = input.value;
    return h('label', {}, h('span', {}, words), input);
  };
  const controls = h('fieldset', {}, h('legend', {}, 'Your own bands'),
    h('div', {class: 'row'}, ['Red', 'Green', 'Blue'].map((words, i) => choice(words,
      facts.bands.map((band) => [band, band]), bands[i], (value) => { bands[i] = value; update(); }))),
    h('div', {class: 'row'}, number('low', 'Black at', {min: 0, max: 65535, placeholder: 'auto'}),
      number('high', 'White at', {min: 1, max: 65535, placeholder: 'auto'}),
      number('gamma', 'Gamma', {min: 0.1, max: 5, step: 0.1, placeholder: '0.6'})));
  update();
  return h('div', {}, h('div', {class: 'row'}, facts.compositions.map(
    ({name, bands: shown}) => figure(shown, `${name} (${shown.replaceAll(',', ', ')})`)), own), controls);
}

function runChoices(facts, state, refresh) {
  if (!facts.scored.length) return h('div');
  const runs = facts.scored.map((run) => [run.number, run.name]);
  return h('div', {class: 'row'},
    choice('Run', runs, state.run, (value) => { state.run = value; refresh(); }),
    choice('Beside it', [['', 'no other run'], ...runs], state.run2, (value) => { state.run2 = value; refresh(); }));
}

function around(facts, path, source, patch, state) {
  if (!patch.neighbours.length) return h('div');
  const query = new URLSearchParams(Object.entries(state).filter(([name, value]) => name.startsWith('run') && value));
  const link = (key, ...content) => h('a', {href: `#/patch/${source}/${key}?${query}`}, ...content);
  // One picture of all nine, with a link over each: a picture each would be nine requests.
  const cells = [];
  for (const south of [-1, 0, 1]) {
    for (const east of [-1, 0, 1]) {
      const found = patch.neighbours.find((each) => each.east === east && each.south === south);
      if (!east && !south) cells.push(h('div', {class: 'here'}));
      else cells.push(found ? link(found.key, h('span', {class: 'hidden'}, `Patch ${found.key}`)) : h('div', {class: 'none'}));
    }
  }
  const same = patch.neighbours.filter((each) => !each.east && !each.south);
  return h('div', {}, h('h2', {}, 'Around it'), h('div', {class: 'around'}, h('img', {
    alt: `${patch.key} and the patches around it`, src: address(`${path}/around.webp`, {v: facts.started})}), h('div', {}, cells)),
    same.length ? h('div', {}, h('h3', {}, 'Others of this place'),
      h('ul', {}, same.map((each) => h('li', {}, link(each.key, each.key))))) : null);
}
