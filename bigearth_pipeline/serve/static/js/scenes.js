// Settings of the predicted scenes that lie over the map.

import {choice, h} from './base/dom.js';

export function scenePanel(facts, changed, locate) {
  if (!facts.scenes.length) return null;
  return h('div', {}, h('h2', {}, 'Predicted scenes'), facts.scenes.map((scene) => panelOf(facts, scene, changed, locate)));
}

function panelOf(facts, scene, changed, locate) {
  const values = {shown: true, label: '', opacity: '0.8', threshold: '0'};
  const set = (name, value) => { values[name] = value; changed(scene, values); };
  const slider = (name, words, max) => {
    const shown = h('output', {}, values[name]);
    const input = h('input', {type: 'range', min: 0, max, step: 0.05, value: values[name],
      oninput: () => { shown.textContent = input.value; }, onchange: () => set(name, input.value)});
    return h('div', {}, h('label', {}, h('span', {}, words), input), shown);
  };
  const box = h('input', {type: 'checkbox', checked: true, onchange: () => set('shown', box.checked)});
  const legend = h('details', {}, h('summary', {}, 'Colours of the classes'),
    h('ul', {class: 'legend'}, facts.classes.map((each) => h('li', {}, swatch(each.colour), each.name))));
  const name = scene.path.split('/').slice(-2, -1)[0] || scene.path;
  changed(scene, values);
  return h('fieldset', {'data-scene': scene.number}, h('legend', {}, name),
    h('label', {class: 'line'}, box, h('span', {}, 'shown')),
    choice('Class', [['', 'most probable class'], ...facts.classes.map((each, i) => [i, each.name])], '',
      (value) => { legend.hidden = value !== ''; set('label', value); }),
    legend,
    slider('opacity', 'Opacity', 1), slider('threshold', 'Least probability', 1),
    h('button', {type: 'button', onclick: () => locate(scene)}, 'Go there'));
}

function swatch(colour) {
  const found = h('span', {class: 'swatch'});
  found.style.backgroundColor = colour;  // As a property: the policy of the page refuses attributes of style.
  return found;
}
