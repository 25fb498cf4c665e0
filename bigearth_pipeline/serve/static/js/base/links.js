// Runs in links. They are numbered anew at each start of the server, so that links have their names, too: run=1.second

import {about} from './api.js';

const SETTINGS = ['run', 'run2'];
let runs = [];

const link = (number) => {
  const run = runs.find((each) => String(each.number) === String(number));
  return run ? `${run.number}.${run.name}` : number;
};

// The number of a run that a link names; a number alone is taken as it is.
function numberOf(text) {
  const [, number, name] = /^(\d+)\.(.*)$/.exec(text) ?? [];
  if (name === undefined) return text;
  const same = runs.filter((each) => each.name === name);
  const found = same.find((each) => String(each.number) === number) ?? same[0];
  if (!found) throw new Error(`no run ${name} is shown; start the server with it`);
  return String(found.number);
}

export async function unlinked({name, parts, settings}) {
  ({runs} = await about());
  const own = Object.fromEntries(Object.entries(settings).map(
    ([key, value]) => [key, SETTINGS.includes(key) ? numberOf(value) : value]));
  return {name, parts: name === 'runs' ? parts.map(numberOf) : parts, settings: own};
}

export function linked(settings) {
  return Object.fromEntries(Object.entries(settings).map(
    ([key, value]) => [key, SETTINGS.includes(key) ? link(value) : value]));
}

export function runLink(run) {
  return `#/runs/${encodeURIComponent(`${run.number}.${run.name}`)}`;
}
