// Labels beside the probabilities of runs, with the thresholds from which on a class counts as predicted.

import {h} from './base/dom.js';

export function scoreTable(facts, patch, found, explain = null) {
  const name = (run) => facts.runs.find((each) => each.number === run)?.name ?? `run ${run}`;
  const order = facts.classes.map((_, i) => i);
  if (found.length) order.sort((a, b) => found[0].probabilities[b] - found[0].probabilities[a]);
  const labels = patch.labels;
  const rows = order.map((i) => h('tr', {}, h('th', {scope: 'row'}, facts.classes[i].name),
    labels ? h('td', {}, labels[i] ? 'yes' : '') : null,
    found.map((score) => cell(score, i, labels)),
    explain && found.length ? h('td', {}, found.some((score) => score.trained[i]) && h('button', {type: 'button', 'aria-label': `why? ${facts.classes[i].name}`,
      onclick: () => explain(i)}, 'why?')) : null));
  const tuned = found.length && found.every((each) => each.thresholds.tuned);
  return h('div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Labels and probabilities'},
    h('table', {class: 'scores'},
      h('thead', {}, h('tr', {}, h('th', {scope: 'col'}, 'class'), labels ? h('th', {scope: 'col'}, 'label') : null,
        found.map((score) => h('th', {scope: 'col'}, name(score.run))),
        explain && found.length ? h('th', {scope: 'col'}, 'explain') : null)),
      h('tbody', {}, rows)),
    found.length ? h('p', {class: 'note'}, `The line in a bar is the threshold of the class${tuned
      ? ', tuned on the validation split' : ''}.`) : null);
}

function cell(score, i, labels) {
  if (!score.trained[i]) return h('td', {class: 'soft'}, 'not trained for it');
  const value = score.probabilities[i];
  const limit = score.thresholds.values[i];
  const predicted = value >= limit;
  const bar = h('span', {class: 'bar', 'aria-hidden': 'true'}, h('i'), h('b'));
  bar.children[0].style.width = `${100 * value}%`;
  bar.children[1].style.left = `${100 * limit}%`;
  const isRight = labels === null || Boolean(labels[i]) === predicted;
  const words = predicted ? 'predicted' : '';
  const verdict = labels === null ? h('span', {}, words) : h('span', {class: isRight ? 'right' : 'wrong'},
    isRight ? words : predicted ? 'predicted, not labelled' : 'labelled, not predicted');
  return h('td', {}, bar, `${value.toFixed(3)} `, verdict);
}
