// Lines over epochs as SVG; the table beside a chart has the same numbers for those who cannot see it.

import {h, s} from './dom.js';

const HEIGHT = 240, LEFT = 56, RIGHT = 12, TOP = 12, BOTTOM = 34;
const WIDE = 640, NARROW = 360;

// Series: {name, values}, a value for each epoch, null where there is none.
export function lineChart(title, series, format = (value) => value.toFixed(3)) {
  const known = series.flatMap(({values}) => values.filter((value) => Number.isFinite(value)));
  const epochs = Math.max(...series.map(({values}) => values.length));
  if (!known.length) return h('p', {class: 'note'}, `${title}: no values yet.`);
  // Drawn for the width that it has, as its words shrink with it.
  const width = matchMedia('(max-width: 760px)').matches ? NARROW : WIDE;
  let [low, high] = [Math.min(...known), Math.max(...known)];
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const x = (i) => LEFT + (epochs > 1 ? i / (epochs - 1) : 0.5) * (width - LEFT - RIGHT);
  const y = (value) => TOP + (1 - (value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const marks = [low, (low + high) / 2, high];
  const chart = s('svg', {class: 'chart', viewBox: `0 0 ${width} ${HEIGHT}`, role: 'img',
    'aria-label': `${title} over ${epochs} epochs`},
  marks.map((value) => [s('line', {class: 'axis', x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value)}),
    s('text', {x: LEFT - 6, y: y(value) + 4, 'text-anchor': 'end'}, format(value))]),
  s('text', {x: x(0), y: HEIGHT - 12, 'text-anchor': epochs > 1 ? 'start' : 'middle'}, epochs > 1 ? 'epoch 1' : 'epoch 1'),
  epochs > 1 ? s('text', {x: x(epochs - 1), y: HEIGHT - 12, 'text-anchor': 'end'}, `epoch ${epochs}`) : null,
  series.map(({values}, number) => {
    const points = values.map((value, i) => [i, value]).filter(([, value]) => Number.isFinite(value));
    const path = points.map(([i, value], n) => `${n ? 'L' : 'M'}${x(i).toFixed(1)},${y(value).toFixed(1)}`).join('');
    return [s('path', {class: `c${number}`, d: path}),
      points.map(([i, value]) => s('circle', {class: `c${number}`, cx: x(i), cy: y(value), r: 3, fill: 'none'},
        s('title', {}, `epoch ${i + 1}: ${format(value)}`)))];
  }));
  return h('figure', {}, h('figcaption', {}, `${title}: `, series.map(({name}, number) => [
    h('span', {class: `swatch split-${number}`}), `${name} `])), chart);
}
