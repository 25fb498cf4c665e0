// The runs: a table of all, and for one its curves, scores by class and options, live while it is under way.

import {about, address, get} from './base/api.js';
import {lineChart} from './base/chart.js';
import {announce, failure, h, percent, put, redraw} from './base/dom.js';
import {runLink} from './base/links.js';

export async function show(main, {parts, setTitle}) {
  return parts.length ? showOne(main, parts[0], setTitle) : showAll(main, setTitle);
}

async function showAll(main, setTitle) {
  setTitle('Runs');
  const runs = await get('runs');
  const box = h('div', {});
  main.replaceChildren(h('h1', {}, 'Runs'), box);
  if (!runs.length) {
    box.append(h('p', {}, 'No run is shown; start the server with the folder of one or of several.'));
    return;
  }
  const columns = [
    ['model', (run) => run.model?.model], ['state', (run) => h('span', {class: 'badge'}, run.state)],
    ['epochs', (run) => run.epoch === undefined ? '' : `${run.epoch}/${run.optimisation.epochs}`, true],
    ['validation AP macro', (run) => percent(run.validation?.ap_macro, 1), true],
    ['test AP macro', (run) => percent(run.test?.ap_macro, 1), true],
    ['test F1 macro', (run) => percent(run.test?.f1_macro, 1), true],
    ['learning rate', (run) => run.optimisation?.lr, true], ['batch', (run) => run.optimisation?.batch_size, true],
    ['minutes', (run) => run.seconds ? (run.seconds / 60).toFixed(1) : '', true],
    ['patches/s', (run) => run.patches_per_second ? Math.round(run.patches_per_second).toLocaleString('en') : '', true],
  ];
  const score = (run) => run.validation?.ap_macro ?? -1;
  // Scores of different patches or classes do not compare: each group of runs has rows of its own.
  const groups = new Map();
  for (const run of runs.sort((a, b) => score(b) - score(a))) {
    groups.set(run.scored_on, [...(groups.get(run.scored_on) ?? []), run]);
  }
  const heading = (run) => h('tr', {}, h('th', {scope: 'rowgroup', colspan: columns.length + 1, class: 'group'},
    run.scored_words ? `Scores of ${run.scored_words}` : 'Unreadable'));
  if (groups.size > 1) box.append(h('p', {class: 'note'}, 'Scores of different groups are of different patches or classes and do not compare.'));
  box.append(h('div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Table of runs'}, h('table', {id: 'runs'},
    h('thead', {}, h('tr', {}, h('th', {scope: 'col'}, 'run'),
      columns.map(([name, , isNumber]) => h('th', {scope: 'col', class: isNumber ? 'number' : ''}, name)))),
    [...groups.values()].map((group) => h('tbody', {}, groups.size > 1 ? heading(group[0]) : null, group.map((run) => h('tr', {},
      h('th', {scope: 'row'}, h('a', {href: runLink(run)}, run.name)),
      run.detail ? h('td', {colspan: columns.length, class: 'error'}, run.detail)
        : columns.map(([, value, isNumber]) => h('td', {class: isNumber ? 'number' : ''}, value(run) ?? '')))))))));
}

async function showOne(main, number, setTitle) {
  const found = await get(`runs/${encodeURIComponent(number)}`);
  setTitle(found.facts.name);
  const box = h('div', {id: 'run'});
  const {classes, runs, scored} = await about();
  const own = runs.find((each) => each.number === found.number);
  main.replaceChildren(h('p', {}, h('a', {href: '#/runs'}, 'All runs')), h('h1', {}, found.facts.name),
    ...(scored.includes(own) ? [] : [h('p', {class: 'note'}, `It is trained on ${own.classes} classes. Patches are shown by `
      + `${classes.length}, so it is no choice in the other views; bep report and bep explain show more of it.`)]), box);
  draw(box, found);
  if (found.facts.state !== 'running') return undefined;
  const source = new EventSource(address(`runs/${encodeURIComponent(number)}/events`));
  source.addEventListener('run', (event) => {
    const now = JSON.parse(event.data);
    if (now.epochs.length > Number(box.dataset.epochs)) {
      announce(`epoch ${now.facts.epoch} of ${now.facts.optimisation.epochs} has ended`);
    }
    update(box, now);
  });
  source.addEventListener('end', () => { source.close(); announce('the run has ended'); });
  source.addEventListener('failed', (event) => {
    source.close();
    box.prepend(failure(new Error(JSON.parse(event.data).detail)));
  });
  // A refusal ends it; after a loss of the connection the browser tries again by itself.
  source.addEventListener('error', () => {
    if (source.readyState === EventSource.CLOSED) {
      box.prepend(failure(new Error('This page is not told how the run goes on: too many others are; reload it to see that.')));
    }
  });
  return () => source.close();
}

// What is unfolded stays so.
function update(box, now) {
  const summaries = () => [...box.querySelectorAll('summary')];
  const unfolded = new Set(summaries().filter((each) => each.parentElement.open).map((each) => each.textContent));
  redraw(box, () => draw(box, now));
  for (const each of summaries()) each.parentElement.open = unfolded.has(each.textContent);
}

function draw(box, {facts, epochs, results}) {
  const of = (read) => epochs.map((epoch) => { try { return read(epoch) ?? null; } catch { return null; } });
  const total = facts.optimisation.epochs;
  box.dataset.epochs = epochs.length;
  put(box,
    h('p', {}, h('span', {class: 'badge', id: 'state'}, facts.state), ` ${facts.model.model}, epoch ${facts.epoch} of ${total} `,
      facts.state === 'running' ? h('progress', {max: total, value: facts.epoch, 'aria-label': 'Epochs that have ended'}) : null),
    h('h2', {}, 'Curves'),
    h('div', {class: 'charts'},
      lineChart('Loss', [{name: 'train', values: of((e) => e.train_loss)}, {name: 'validation', values: of((e) => e.validation.loss)}]),
      lineChart('Validation, average precision', [{name: 'macro', values: of((e) => e.validation.ap_macro)},
        {name: 'micro', values: of((e) => e.validation.ap_micro)}], (value) => percent(value, 1))),
    epochTable(epochs),
    Object.entries(results).map(([split, result]) => classTable(split, result)),
    h('h2', {}, 'Options'), options(facts));
}

function epochTable(epochs) {
  if (!epochs.length) return h('p', {class: 'note'}, 'No epoch has ended yet.');
  const names = ['epoch', 'train loss', 'validation loss', 'AP macro', 'AP micro', 'patches/s'];
  return h('details', {}, h('summary', {}, 'Epochs as a table'), h('div', {class: 'scroll', tabindex: '0', role: 'region',
    'aria-label': 'Epochs'}, h('table', {},
    h('thead', {}, h('tr', {}, names.map((name) => h('th', {scope: 'col', class: 'number'}, name)))),
    h('tbody', {}, epochs.map((each) => h('tr', {}, [each.epoch, each.train_loss?.toFixed(4), each.validation?.loss?.toFixed(4),
      percent(each.validation?.ap_macro, 1), percent(each.validation?.ap_micro, 1), Math.round(each.patches_per_second ?? 0)]
      .map((value) => h('td', {class: 'number'}, value ?? ''))))))));
}

function classTable(split, result) {
  const rows = Object.entries(result.classes ?? {});
  const columns = [['patches', (each) => each.positives?.toLocaleString('en')], ['AP', (each) => percent(each.ap, 1)],
    ['F1', (each) => percent(each.tuned?.f1, 1)], ['precision', (each) => percent(each.tuned?.precision, 1)],
    ['recall', (each) => percent(each.tuned?.recall, 1)]];
  return h('section', {}, h('h2', {}, `Classes on ${split}`),
    h('p', {class: 'note'}, `${result.count.toLocaleString('en')} patches; F1, precision and recall at tuned thresholds${
      result.thresholds_tuned_here ? ', tuned on these very patches, so they are too high for others' : ''}.`),
    h('div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `Scores by class on ${split}`}, h('table', {},
      h('thead', {}, h('tr', {}, h('th', {scope: 'col'}, 'class'),
        columns.map(([name]) => h('th', {scope: 'col', class: 'number'}, name)))),
      h('tbody', {}, rows.map(([name, each]) => h('tr', {}, h('th', {scope: 'row'}, name),
        columns.map(([, value]) => h('td', {class: 'number'}, value(each) ?? ''))))))));
}

function options(facts) {
  const tables = ['model', 'data', 'augmentation', 'optimisation', 'machine', 'run'].filter((name) => facts[name]);
  return h('div', {class: 'row'}, tables.map((name) => h('details', {}, h('summary', {}, name), h('table', {}, h('tbody', {},
    Object.entries(facts[name]).map(([key, value]) => h('tr', {}, h('th', {scope: 'row'}, key),
      h('td', {}, Array.isArray(value) ? value.join(value.some((each) => String(each).includes(',')) ? '; ' : ', ') : String(value ?? 'none')))))))));
}
