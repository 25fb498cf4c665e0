// An image of the user: dropped or chosen, decoded by the server, looked at as any patch is, and forgotten.

import {about, address, get, send} from './base/api.js';
import {announce, choice, failure, h, percent, put, redraw} from './base/dom.js';

const MOST_FILES = 64;
const MOST_BYTES = 64 * 2 ** 20;
// Options in messages of the server, as this page has them.
const WORDS = [['`baseline=`', 'the processing baseline'], [/`baseline=([^`]+)`/, '$1'],
  ['`offset=none`', 'choose to use the values as they are']];

export async function show(main, {parts, settings, signal: left, keep, setTitle}) {
  setTitle('Your image');
  const facts = await about();
  const result = h('div', {id: 'result'});
  let asking = new AbortController();
  left.addEventListener('abort', () => asking.abort());
  const state = {run: String(facts.scored[0]?.number ?? ''), ...settings};
  const baseline = h('input', {type: 'text', size: 8, maxlength: 8, placeholder: 'unknown'});
  const offset = h('select', {}, h('option', {value: 'auto'}, 'subtract it where there is one'),
    h('option', {value: 'none'}, 'use the values as they are'));
  const files = h('input', {type: 'file', multiple: true, id: 'files', onchange: () => receive([...files.files])});
  const folder = h('input', {type: 'file', webkitdirectory: true, id: 'folder', onchange: () => receive([...folder.files])});
  const drop = h('div', {class: 'drop', id: 'drop'},
    h('p', {}, 'Drop a patch folder, band files, a GeoTIFF with named bands, a STAC item with its files, or a zip of these or of a '
      + '.SAFE folder here, or choose'),
    h('div', {class: 'row'}, h('label', {}, h('span', {}, 'files'), files), h('label', {}, h('span', {}, 'or a folder'), folder)));
  for (const name of ['dragenter', 'dragover']) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add('over'); });
  }
  drop.addEventListener('dragleave', () => drop.classList.remove('over'));
  drop.addEventListener('drop', async (event) => {
    event.preventDefault();
    drop.classList.remove('over');
    receive(await dropped(event.dataTransfer));
  });
  // What was chosen last, which the options below can be given to again.
  let last = [];
  const again = h('button', {disabled: true}, 'Decode again');
  main.replaceChildren(h('h1', {}, 'Your image'),
    h('p', {}, 'Level-2A of Sentinel-2, up to 24 km × 24 km and 64 MiB. It stays in the memory of this server until 16 newer '
      + 'ones have come, or you forget it; nothing is kept on disk.'),
    drop, h('form', {class: 'row', onsubmit: (event) => { event.preventDefault(); receive(last); }},
      h('label', {}, h('span', {}, 'Processing baseline, if the names do not say it'), baseline),
      h('label', {}, h('span', {}, 'Offset of 1000 since baseline 04.00'), offset), again), result);
  if (parts.length) await draw(parts[0]);

  async function receive(chosen) {
    if (!chosen.length) return;
    last = chosen;
    again.disabled = false;
    // A new image takes the place of one that is still decoded.
    asking.abort();
    asking = new AbortController();
    const {signal: own} = asking;
    put(result, h('p', {'aria-busy': 'true'}, `Decoding ${chosen.length === 1 ? chosen[0].name : `${chosen.length} files`} …`));
    try {
      if (chosen.length > MOST_FILES) throw new Error(`these are ${chosen.length} files, expected at most ${MOST_FILES}`);
      const size = chosen.reduce((sum, file) => sum + file.size, 0);
      if (size > MOST_BYTES) {
        throw new Error(`this is ${Math.ceil(size / 2 ** 20).toLocaleString('en')} MiB, expected at most 64 MiB; bep predict takes `
          + 'whole scenes, and bep serve --scene shows what it gives');
      }
      const form = new FormData();
      for (const file of chosen) form.append('files', file, file.name);
      form.append('offset', offset.value);
      form.append('baseline', baseline.value.trim());
      const found = await send('POST', 'uploads', form, own);
      await draw(found.source);
    } catch (error) {
      if (!own.aborted) put(result, failure(new Error(WORDS.reduce((text, [option, words]) => text.replace(option, words), error.message))));
    }
    files.value = folder.value = '';
  }

  async function draw(source) {
    asking.abort();
    asking = new AbortController();
    const {signal} = asking;
    try {
      const found = await get(`uploads/${encodeURIComponent(source)}`, {}, signal);
      keep(`upload/${source}`, state);
      const unscored = h('div', {});
      const grid = h('div', {class: 'tiles', id: 'patches'});
      const columns = found.columns ?? Math.min(found.patches, 8);
      grid.style.gridTemplateColumns = `repeat(${columns}, minmax(24px, 120px))`;
      const links = [...Array(found.patches).keys()].map((key) => h('a', {
        href: `#/patch/${source}/${key}${state.run === '' ? '' : `?run=${state.run}`}`},
      h('img', {class: 'patch', width: '100%', loading: 'lazy', alt: `Patch ${key}`,
        src: address(`patches/${source}/${key}/picture.webp`)}), h('span', {class: 'soft', 'data-key': key})));
      grid.append(...links);
      redraw(result, () => put(result, h('h2', {}, found.title), found.notes.map((note) => h('p', {class: 'note'}, note)),
        facts.scored.length ? choice('Run', facts.scored.map((run) => [run.number, run.name]), state.run, (value) => {
          state.run = value;
          draw(source);
        }) : null, unscored,
        h('p', {}, `${found.patches} ${found.patches === 1 ? 'patch' : 'patches'} of 1,200 m; choose one to see its classes and why.`),
        grid, h('button', {type: 'button', onclick: () => forget(source, grid)},
          'Forget this image')));
      announce(`${found.title}: ${found.patches} patches`);
      // The pictures are there all the same, and another run may do with the bands.
      if (state.run !== '') {
        await label(grid, source, state.run, signal).catch((error) => { if (!signal.aborted) unscored.append(failure(error)); });
      }
    } catch (error) {
      if (!signal.aborted) put(result, failure(error));
    }
  }

  // What is still asked for would not be found any more.
  async function forget(source, grid) {
    asking.abort();
    for (const picture of grid.querySelectorAll('img')) picture.removeAttribute('src');
    try {
      await send('DELETE', `uploads/${source}`);
      keep('upload', {});
      last = [];
      again.disabled = true;
      put(result, h('p', {}, 'Forgotten.'));
    } catch (error) {
      put(result, failure(error));
    }
  }

  async function label(grid, source, run, signal) {
    const scores = await get(`uploads/${source}/scores`, {run}, signal);
    for (const {key, name, probability} of scores) {
      const words = grid.querySelector(`[data-key="${key}"]`);
      if (words) words.textContent = `${name} ${percent(probability)}`;
    }
  }
}

// The files of what was dropped; folders are entered, a level deep or more.
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const found = [];
  const enter = async (entry) => {
    if (found.length > MOST_FILES) return;
    if (entry.isFile) {
      found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return;
      for (const each of some) await enter(each);
    }
  };
  for (const entry of entries) await enter(entry);
  return found;
}
