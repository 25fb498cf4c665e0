"use strict";
// Numbers that there are not have this place, and come last in either order.
const NONE = -Infinity;
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const first = head.dataset.number ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    const sign = order === "ascending" ? 1 : -1;
    for (const each of heads) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const value = row => {
      const cell = row.cells[column];
      return "order" in cell.dataset ? Number(cell.dataset.order) : cell.textContent.trim();
    };
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if ((x === NONE) !== (y === NONE)) return x === NONE ? 1 : -1;
      if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
      return sign * (typeof x === "number" ? (x > y) - (x < y) : x.localeCompare(y, "en"));
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  }));
}
