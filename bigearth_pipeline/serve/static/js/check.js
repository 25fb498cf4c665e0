// Check labels: pairs of a patch and a class on which the run and the label disagree, a key for each verdict.

import {about, address, get, send} from './base/api.js';
import {announce, choice, failure, h, percent, put, redraw} from './base/dom.js';

const VERDICTS = [['r', 'right', 'The label is right'], ['w', 'wrong', 'The label is wrong'], ['u', 'unsure', 'Unsure']];
const AHEAD = 20;

export async function show(main, {settings, keep, setTitle}) {
  setTitle('Check labels');
  const facts = await about();
  main.replaceChildren(h('h1', {}, 'Check labels'));
  if (!facts.scored.length || !facts.stores.length) {
    main.append(h('p', {}, 'This needs a run with predictions and its store; start the server with a run.'));
    return undefined;
  }
  // Where the address leaves it open, the first run with predictions, on the first store that it has some of.
  const {store, run} = settings;
  const found = store && run ? {} : await get('check/first', {store, run});
  const state = {store: String(found.store ?? 0), run: String(found.run ?? facts.scored[0].number), label: '', ...settings};
  const pairs = [];
  let number = 0;
  let isSaving = false;
  let turn = 0;
  let left = 0;
  let judged = 0;
  const files = exclusion(state);
  const box = h('div', {id: 'pair'});
  const progress = h('p', {class: 'note', id: 'progress'});
  const set = (name) => (value) => { state[name] = value; start(); };
  main.append(
    h('p', {}, 'The pairs on which the run is most certain come first. Keys: ', VERDICTS.map(([key, , words]) => [h('kbd', {}, key),
      ` ${words.toLowerCase()}, `]), h('kbd', {}, 'n'), ' next without a verdict, ', h('kbd', {}, 'b'), ' back.'),
    h('div', {class: 'row'},
      facts.stores.length > 1 ? choice('Store', facts.stores.map((each) => [each.number, each.folder]), state.store, set('store')) : null,
      choice('Run', facts.scored.map((run) => [run.number, run.name]), state.run, set('run')),
      choice('Class', [['', 'all classes'], ...facts.classes.map(({name}, i) => [i, name])], state.label, set('label'))),
    progress, box, h('h2', {}, 'For the next training'), files.element);

  async function start() {
    const own = ++turn;
    keep('check', state);
    pairs.length = number = 0;
    box.replaceChildren(h('p', {}, 'Loading …'));
    files.refresh();
    try {
      if (await more()) draw();
    } catch (error) {
      if (own !== turn) return;
      progress.textContent = '';
      box.replaceChildren(failure(error));
    }
  }
  // Pairs with a verdict drop out at the server, so those that were passed over are where the next ones start.
  // Returns false where other pairs have been asked for meanwhile.
  async function more() {
    const own = turn;
    const skipped = pairs.filter((pair) => !pair.verdict).length;
    const found = await get('check/pairs', {store: state.store, run: state.run, label: state.label, unjudged: true,
      start: skipped, count: AHEAD});
    if (own !== turn) return false;
    const known = new Set(pairs.map((pair) => `${pair.key} ${pair.label}`));
    pairs.push(...found.pairs.filter((pair) => !known.has(`${pair.key} ${pair.label}`)));
    left = found.count;
    judged = found.judged;
    return true;
  }
  function draw() {
    progress.textContent = `${left.toLocaleString('en')} pairs are left, ${judged} have a verdict.`;
    redraw(box, drawPair);
  }
  function drawPair() {
    const pair = pairs[number];
    if (!pair) {
      box.replaceChildren(h('p', {}, 'No further pair: the run and the labels agree on all others.'));
      announce('no further pair');
      return;
    }
    const name = facts.classes[pair.label].name;
    const others = facts.classes.filter((_, i) => pair.labels[i] && i !== pair.label).map((each) => each.name);
    const picture = (bands, words) => h('figure', {}, h('img', {class: 'patch', width: 300, height: 300, alt: `Patch in ${words}`,
      src: address(`patches/${pair.source}/${pair.key}/picture.webp`, {bands, v: facts.started})}), h('figcaption', {}, words));
    box.replaceChildren(
      h('h2', {}, pair.has_label ? `Labelled as “${name}”, but the run says ${percent(pair.probability, 1)}`
        : `Not labelled as “${name}”, but the run says ${percent(pair.probability, 1)}`),
      h('p', {class: 'soft'}, h('a', {href: `#/patch/${pair.source}/${pair.key}?run=${state.run}&label=${pair.label}`}, pair.key),
        others.length ? ` · other labels: ${others.join('; ')}` : ' · no other label'),
      h('div', {class: 'row'}, facts.compositions.map((each) => picture(each.bands, each.name))),
      h('div', {class: 'row verdicts'}, VERDICTS.map(([key, verdict, words]) => h('button', {type: 'button',
        class: pair.verdict === verdict ? 'main' : '', 'aria-pressed': String(pair.verdict === verdict),
        onclick: () => judge(verdict)}, `${words} (${key})`)),
      h('button', {type: 'button', onclick: next}, 'Next (n)'), h('button', {type: 'button', disabled: number === 0, onclick: back}, 'Back (b)')));
    announce(`${name}, ${pair.has_label ? 'labelled' : 'not labelled'}, ${percent(pair.probability)}, patch ${pair.key}`);
  }
  async function judge(verdict) {
    const pair = pairs[number];
    if (!pair || isSaving) return;
    isSaving = true;
    try {
      await send('POST', 'check/verdicts', {store: Number(state.store), run: Number(state.run), key: pair.key,
        label: pair.label, verdict});
      if (!pair.verdict) {
        left -= 1;
        judged += 1;
      }
      pair.verdict = verdict;
      files.refresh();
      if (pairs[number] === pair) await next();
    } catch (error) {
      box.prepend(failure(error));
    } finally {
      isSaving = false;
    }
  }
  async function next() {
    number = Math.min(number + 1, pairs.length);
    try {
      if (number < pairs.length - 3 || await more()) draw();
    } catch (error) {
      box.prepend(failure(error));
    }
  }
  function back() {
    number = Math.max(number - 1, 0);
    draw();
  }
  const keys = (event) => {
    // A key that is held down judges one pair, not all that follow.
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, select, textarea')) return;
    const verdict = VERDICTS.find(([key]) => key === event.key)?.[1];
    if (verdict) judge(verdict);
    else if (event.key === 'n') next();
    else if (event.key === 'b') back();
  };
  document.addEventListener('keydown', keys);
  if (found.store !== null) {
    await start();
  } else {
    box.replaceChildren(h('p', {}, 'No run here has predictions on patches of a store here, so there is nothing to check. '
      + 'They are written by bep evaluate RUN --shards STORE, and by bep train --test.'));
    files.refresh();
  }
  return () => document.removeEventListener('keydown', keys);
}

// What is made of the verdicts, for the store of the state.
function exclusion(state) {
  const box = h('div', {});
  let turn = 0;
  const refresh = async () => {
    const own = ++turn;
    try {
      const found = await get('check/exclude');
      if (own !== turn) return;
      put(box,
        h('p', {}, `${found.keys.length} patches have a wrong label. Verdicts are in ${found.path}.`),
        h('ul', {}, h('li', {}, h('a', {href: address('check/verdicts.csv'), download: 'verdicts.csv'}, 'verdicts.csv')),
          h('li', {}, h('a', {href: address('check/kept.txt', {store: state.store}), download: 'kept.txt'}, 'kept.txt'),
            ': the patches without a wrong label, for bep train --patches kept.txt')),
        found.where ? h('label', {}, h('span', {}, 'The same as a condition for bep train --where'),
          h('textarea', {readonly: true, rows: 3, cols: 60}, found.where)) : null);
    } catch (error) {
      box.replaceChildren(failure(error));
    }
  };
  return {element: h('div', {}, box, h('button', {type: 'button', onclick: refresh}, 'Refresh')), refresh};
}
